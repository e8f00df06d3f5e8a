// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

var _ xexporterhelper.Request = (*request)(nil)

// request is the unit that the exporter queues, merges and retries: OTLP protobuf bytes with the ids of their requests.
//
// Concatenating two serialized Export*ServiceRequest messages merges them, so Go never decodes a batch. Each part
// keeps its id through merging, the persistent queue and retries. The library tells a repeated request from a new one
// by this id.
//
// The library holds the bytes, because Go's garbage collector would need as much memory again beside them.
// exporterhelper does not report that it drops a request. Its batch is then freed when the request is
// garbage-collected.
type request struct {
	signal native.Signal
	// batch holds the bytes. It is nil while message holds them, and after another request has taken them.
	batch *native.Batch
	// message is a serialized message on its way to a queue on disk, or just read from it.
	message []byte
	// part is the id and the length of message.
	part native.Part
	// redelivered says whether an earlier process assigned some of the ids.
	redelivered bool
	// items counts log records, spans or data points.
	items int
	// bytes is the length of all messages.
	bytes int
	// received is when the pipeline handed the oldest part over.
	received time.Time
}

// ItemsCount returns the number of log records, spans or data points.
func (r *request) ItemsCount() int {
	return r.items
}

// BytesSize returns the length of the serialized messages.
func (r *request) BytesSize() int {
	return r.bytes
}

// MergeSplit appends other, if there is one. It never splits: a request's id must stay with all of its rows, and the
// library splits files itself. Config.Validate refuses a max_size for that reason.
func (r *request) MergeSplit(
	_ context.Context, _ int, _ exporterhelper.RequestSizerType, other xexporterhelper.Request,
) ([]xexporterhelper.Request, error) {
	if other == nil {
		return []xexporterhelper.Request{r}, nil
	}
	next, ok := other.(*request)
	if !ok {
		return nil, fmt.Errorf("cannot merge a %T into an iceberg request", other)
	}
	if next.signal != r.signal {
		return nil, fmt.Errorf("cannot merge %s into %s", next.signal, r.signal)
	}
	if err := errors.Join(r.ensureBatch(), next.ensureBatch()); err != nil {
		return nil, err
	}
	if err := r.batch.Merge(next.batch); err != nil {
		return nil, err
	}
	next.batch = nil
	r.items += next.items
	r.bytes += next.bytes
	if next.received.Before(r.received) {
		r.received = next.received
	}
	return []xexporterhelper.Request{r}, nil
}

// ensureBatch moves the bytes into the library, unless it already holds them.
func (r *request) ensureBatch() (err error) {
	if r.batch != nil {
		return nil
	}
	if r.batch, err = native.NewBatch(r.signal, r.message, []native.Part{r.part}); err != nil {
		return err
	}
	if r.redelivered {
		r.batch.SetRedelivered()
	}
	r.message = nil
	return nil
}

// setRedelivered notes that an earlier process assigned some of the ids.
func (r *request) setRedelivered() {
	r.redelivered = true
	if r.batch != nil {
		r.batch.SetRedelivered()
	}
}

// free frees the bytes. They are stored or given up.
func (r *request) free() {
	r.batch.Free()
}

// parts returns the ids and lengths of the merged requests, in order.
func (r *request) parts() []native.Part {
	if r.batch == nil {
		return []native.Part{r.part}
	}
	return r.batch.Parts()
}

// appendPayload appends the bytes to data.
func (r *request) appendPayload(data []byte) ([]byte, error) {
	if r.batch == nil {
		return append(data, r.message...), nil
	}
	return r.batch.AppendPayload(data)
}

// requestIDs assigns ids to requests: a random writer id per start of an exporter, and a counter. Each signal has its
// own requestIDs, so that the ids of a batch are mostly consecutive.
type requestIDs struct {
	writer [16]byte
	last   atomic.Uint64
}

func newRequestIDs() *requestIDs {
	ids := &requestIDs{}
	// Read never fails. The program ends if there is no source of randomness.
	_, _ = rand.Read(ids.writer[:])
	return ids
}

// newRequest makes a request of one serialized message and assigns its id.
func (ids *requestIDs) newRequest(signal native.Signal, message []byte, items int) *request {
	return &request{
		signal:  signal,
		message: message,
		part: native.Part{
			Writer:   ids.writer,
			Sequence: ids.last.Add(1),
			Len:      uint64(len(message)),
		},
		items:    items,
		bytes:    len(message),
		received: time.Now(),
	}
}

// assignedAll returns whether all ids of parts were assigned here, and so by no other process.
func (ids *requestIDs) assignedAll(parts []native.Part) bool {
	return !slices.ContainsFunc(parts, func(part native.Part) bool { return part.Writer != ids.writer })
}
