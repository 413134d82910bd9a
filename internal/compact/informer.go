package compact

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
)

// NewInformer is for cache.Options.NewInformer. It converts the forms that Of made back to objects
// when they are read.
func NewInformer(source toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	return informer{toolscache.NewSharedIndexInformer(source, example, resync, indexers)}
}

type informer struct {
	toolscache.SharedIndexInformer
}

// GetStore implements toolscache.SharedInformer.
func (i informer) GetStore() toolscache.Store { return i.GetIndexer() }

// GetIndexer implements toolscache.SharedIndexInformer.
func (i informer) GetIndexer() toolscache.Indexer { return indexer{i.SharedIndexInformer.GetIndexer()} }

// indexer returns the objects of forms.
type indexer struct {
	toolscache.Indexer
}

func (i indexer) List() []any { return allWhole(i.Indexer.List()) }

func (i indexer) Get(object any) (any, bool, error) {
	found, exists, err := i.Indexer.Get(object)
	return whole(found), exists, err
}

func (i indexer) GetByKey(key string) (any, bool, error) {
	found, exists, err := i.Indexer.GetByKey(key)
	return whole(found), exists, err
}

func (i indexer) Index(name string, object any) ([]any, error) {
	found, err := i.Indexer.Index(name, object)
	return allWhole(found), err
}

func (i indexer) ByIndex(name, value string) ([]any, error) {
	found, err := i.Indexer.ByIndex(name, value)
	return allWhole(found), err
}

// allWhole converts a list in place: an indexer returns a new list to each caller.
func allWhole(objects []any) []any {
	for i := range objects {
		objects[i] = whole(objects[i])
	}
	return objects
}
