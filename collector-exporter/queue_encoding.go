// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// A request in a persistent queue, integers little-endian:
//
//	offset  bytes  what
//	     0      4  "O2IQ"
//	     4      1  version of this layout: 1
//	     5      1  signal: 1 logs, 2 traces, 3 metrics
//	     6      2  zero
//	     8      8  items
//	    16      8  time of receipt, nanoseconds since 1970
//	    24      8  n, the number of parts
//	    32   32*n  parts: writer (16), sequence (8), length in bytes (8)
//	     …      …  payload, whose length is the sum of the parts' lengths
//	     …      4  CRC-32C of all bytes before it
//
// The payload is the bytes to which the pipeline's data were serialized, so data are encoded only once. Client
// metadata and span context are not stored, because no column holds them.
const (
	encodingMagic      = "O2IQ"
	encodingVersion    = 1
	encodingHeaderLen  = 32
	encodingPartLen    = 32
	encodingTrailerLen = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var _ exporterhelper.QueueBatchEncoding[xexporterhelper.Request] = (*queueEncoding)(nil)

// queueEncoding writes and reads requests of one signal for the persistent queue.
type queueEncoding struct {
	signal native.Signal
	ids    *requestIDs
	logger *zap.Logger
	// skipped limits the warning about places without a request to one.
	skipped sync.Once
}

// errNotStored is the error for a place in the queue without a request.
var errNotStored = errors.New("no request is stored there")

// Marshal encodes a request for the queue.
func (*queueEncoding) Marshal(_ context.Context, req xexporterhelper.Request) ([]byte, error) {
	r, ok := req.(*request)
	if !ok {
		return nil, fmt.Errorf("cannot store a %T in the queue of an iceberg exporter", req)
	}
	parts := r.parts()
	length := encodingHeaderLen + encodingPartLen*len(parts) + r.bytes + encodingTrailerLen
	data := make([]byte, 0, length)
	data = append(data, encodingMagic...)
	data = append(data, encodingVersion, byte(r.signal), 0, 0)
	data = binary.LittleEndian.AppendUint64(data, uint64(r.items))
	data = binary.LittleEndian.AppendUint64(data, uint64(r.received.UnixNano()))
	data = binary.LittleEndian.AppendUint64(data, uint64(len(parts)))
	for _, part := range parts {
		data = append(data, part.Writer[:]...)
		data = binary.LittleEndian.AppendUint64(data, part.Sequence)
		data = binary.LittleEndian.AppendUint64(data, part.Len)
	}
	data, err := r.appendPayload(data)
	if err != nil {
		return nil, fmt.Errorf("cannot store a request in the queue: %w", err)
	}
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli)), nil
}

// Unmarshal decodes a request that Marshal encoded. The queue deletes a request that cannot be read, and logs that
// only at debug level, so Unmarshal logs it as an error. Requests of a newer layout do not get here: see layoutGuard.
//
// There may be no data. When the queue cannot store a request, as on a full disk, it refuses it, but its place remains
// and is read in turn. Nothing is lost then that was acknowledged.
func (e *queueEncoding) Unmarshal(data []byte) (context.Context, xexporterhelper.Request, error) {
	if len(data) == 0 {
		e.skipped.Do(func() {
			e.logger.Warn("Some places in the persistent queue hold no request and are skipped: requests could not be " +
				"stored there, for example on a full disk. That was reported then.")
		})
		return context.Background(), nil, errNotStored
	}
	r, err := decodeRequest(data)
	if err == nil && r.signal != e.signal {
		r.free()
		err = fmt.Errorf("it holds %s, and this is the queue for %s", r.signal, e.signal)
	}
	if err != nil {
		e.logger.Error("A request in the persistent queue cannot be read. It is lost.",
			zap.Error(err), zap.Int("bytes", len(data)))
		return context.Background(), nil, fmt.Errorf("a queued request cannot be read: %w", err)
	}
	if !e.ids.assignedAll(r.parts()) {
		r.setRedelivered()
	}
	return context.Background(), r, nil
}

// decodeRequest decodes a stored request of any signal. A request with one part, as all requests from the pipeline
// are, keeps its bytes in Go until it is merged or exported. When a queue starts, it reads all requests that were in
// progress and writes them again at its end. The library does not have to hold them for that.
func decodeRequest(data []byte) (*request, error) {
	if len(data) < encodingHeaderLen+encodingTrailerLen {
		return nil, fmt.Errorf("%d bytes are too few", len(data))
	}
	if string(data[:4]) != encodingMagic {
		return nil, errors.New("it does not begin with " + encodingMagic + ": another exporter or version wrote it")
	}
	if version := data[4]; version != encodingVersion {
		return nil, fmt.Errorf("it has layout version %d, this exporter reads version %d", version, encodingVersion)
	}
	body, trailer := data[:len(data)-encodingTrailerLen], data[len(data)-encodingTrailerLen:]
	if stored, found := binary.LittleEndian.Uint32(trailer), crc32.Checksum(body, castagnoli); stored != found {
		return nil, fmt.Errorf("its checksum is %08x and should be %08x: it is damaged", found, stored)
	}
	r := &request{
		signal:   native.Signal(body[5]),
		received: time.Unix(0, int64(binary.LittleEndian.Uint64(body[16:24]))),
	}
	items, count := binary.LittleEndian.Uint64(body[8:16]), binary.LittleEndian.Uint64(body[24:32])
	rest := body[encodingHeaderLen:]
	if items > math.MaxInt || count > uint64(len(rest)/encodingPartLen) {
		return nil, fmt.Errorf("it claims %d items in %d parts in %d bytes", items, count, len(data))
	}
	parts, rest := decodeParts(rest, int(count))
	if total, fits := totalLen(parts); !fits || total != uint64(len(rest)) {
		return nil, fmt.Errorf("its parts do not add up to its %d bytes of payload", len(rest))
	}
	r.items, r.bytes = int(items), len(rest)
	if len(parts) == 1 {
		r.message, r.part = rest, parts[0]
		return r, nil
	}
	var err error
	r.batch, err = native.NewBatch(r.signal, rest, parts)
	return r, err
}

// newerLayoutVersion returns the layout version of a stored request, and whether only a newer exporter can read it. The
// checksum of a newer layout may be elsewhere. If ours is right once the version is ours, only that byte is damaged.
func newerLayoutVersion(data []byte) (version byte, newer bool) {
	if len(data) <= len(encodingMagic) || string(data[:len(encodingMagic)]) != encodingMagic {
		return 0, false
	}
	version = data[len(encodingMagic)]
	return version, version > encodingVersion && !isOursButForVersion(data)
}

func isOursButForVersion(data []byte) bool {
	if len(data) < encodingHeaderLen+encodingTrailerLen {
		return false
	}
	body, trailer := data[:len(data)-encodingTrailerLen], data[len(data)-encodingTrailerLen:]
	head := append([]byte(encodingMagic), encodingVersion)
	checksum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body[len(head):])
	return checksum == binary.LittleEndian.Uint32(trailer)
}

func decodeParts(data []byte, count int) (parts []native.Part, rest []byte) {
	parts = make([]native.Part, count)
	for i := range parts {
		parts[i].Writer = [16]byte(data[:16])
		parts[i].Sequence = binary.LittleEndian.Uint64(data[16:24])
		parts[i].Len = binary.LittleEndian.Uint64(data[24:32])
		data = data[encodingPartLen:]
	}
	return parts, data
}

// totalLen returns the sum of the parts' lengths, and whether it fits in 64 bits.
func totalLen(parts []native.Part) (total uint64, fits bool) {
	for _, part := range parts {
		if part.Len > math.MaxUint64-total {
			return 0, false
		}
		total += part.Len
	}
	return total, true
}
