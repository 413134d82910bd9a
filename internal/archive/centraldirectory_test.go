package archive

import (
	"archive/zip"
	"bytes"
	"fmt"
	"runtime"
	"testing"

	. "github.com/onsi/gomega"
)

func TestUnpackHoldsLittleOfManyEntries(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	w := &zipWriter{to: &out}
	const many = 70_000 // more than an archive without zip64 can number
	for i := range many {
		g.Expect(w.writeStored(&zip.FileHeader{Name: fmt.Sprintf("d/%d", i)}, nil)).To(Succeed())
	}
	g.Expect(w.close()).To(Succeed())
	list, err := readCentralDirectory(t.Context(), inMemory(out.Bytes()), DefaultLimits)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list.entries).To(HaveLen(many))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	held, err := readCentralDirectory(t.Context(), inMemory(out.Bytes()), DefaultLimits)
	g.Expect(err).NotTo(HaveOccurred())
	runtime.GC()
	runtime.ReadMemStats(&after)
	g.Expect(int64(after.HeapAlloc) - int64(before.HeapAlloc)).To(BeNumerically("<", 20*many+len(held.raw)))
	runtime.KeepAlive([]*centralDirectory{list, held})
}
