package archive

import (
	"archive/zip"
	"compress/bzip2"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Methods of compression that package archive/zip has no names for (APPNOTE.TXT 4.4.5).
const (
	methodBzip2 = 12
	methodZstd  = 93
)

// decompressors decompress one entry after another, each by its method.
type decompressors struct {
	deflate io.ReadCloser
	zstd    *zstd.Decoder
}

// open returns a reader of the content of an entry whose method is known (see
// checkMethod).
func (d *decompressors) open(method uint16, from io.Reader) (io.Reader, error) {
	switch method {
	case zip.Store:
		return from, nil
	case methodBzip2:
		return bzip2.NewReader(from), nil
	case methodZstd:
		return d.openZstd(from)
	}
	if d.deflate == nil {
		d.deflate = flate.NewReader(from)
		return d.deflate, nil
	}
	return d.deflate, d.deflate.(flate.Resetter).Reset(from, nil)
}

// openZstd divides the memory for a window among the workers.
func (d *decompressors) openZstd(from io.Reader) (io.Reader, error) {
	const window = maxWindow / workers
	format := &compression{name: "zstd", memory: window}
	if d.zstd != nil {
		return decompressed{d.zstd, format}, d.zstd.Reset(from)
	}
	decoder, err := newZstd(from, window)
	if err != nil {
		return nil, err
	}
	d.zstd = decoder
	return decompressed{decoder, format}, nil
}

func (d *decompressors) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}
