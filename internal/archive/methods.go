package archive

import (
	"archive/zip"
	"compress/bzip2"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Compression methods without a constant in package archive/zip (APPNOTE.TXT 4.4.5).
const (
	methodBzip2 = 12
	methodZstd  = 93
)

// decompressors decompress one entry after another, each with its own method.
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

// openZstd gives each worker an equal share of the memory for windows.
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
