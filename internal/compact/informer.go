package compact

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
)

// NewInformer is for cache.Options.NewInformer. If the cache transforms objects with Of, its
// readers get the objects that they ask for all the same.
func NewInformer(source toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	return informer{toolscache.NewSharedIndexInformer(source, example, resync, indexers)}
}

type informer struct {
	toolscache.SharedIndexInformer
}

// GetStore is that of toolscache.SharedInformer.
func (i informer) GetStore() toolscache.Store { return i.GetIndexer() }

// GetIndexer is that of toolscache.SharedIndexInformer.
func (i informer) GetIndexer() toolscache.Indexer { return indexer{i.SharedIndexInformer.GetIndexer()} }

// indexer reads the objects of forms.
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

// allWhole changes the list that it is given: those of an indexer are the caller's.
func allWhole(objects []any) []any {
	for i := range objects {
		objects[i] = whole(objects[i])
	}
	return objects
}
