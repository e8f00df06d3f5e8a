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

// request is what the exporter queues, merges and retries: OTLP protobuf bytes, and who they are.
//
// Concatenating two serialized Export*ServiceRequest messages is merging them, so a batch is never
// decoded on this side. Each part keeps its id through merging, the persistent queue and retries:
// that is how the library tells a repeated request from a new one.
//
// The library holds the bytes: a garbage collector would keep as much again beside them. exporterhelper
// does not say when it drops a request; its batch is then freed when it is collected as garbage.
type request struct {
	signal native.Signal
	// batch holds the bytes. It is nil as long as message has them, and once they are stored or given up.
	batch *native.Batch
	// message is a serialized message on its way to a queue on disk, or just back from it.
	message []byte
	// part says who message is.
	part native.Part
	// redelivered says whether an earlier process numbered some of it.
	redelivered bool
	// items counts log records, spans or data points.
	items int
	// bytes is the length of all messages.
	bytes int
	// received is when the oldest part was handed over by the pipeline.
	received time.Time
}

// ItemsCount gives the number of log records, spans or data points.
func (r *request) ItemsCount() int {
	return r.items
}

// BytesSize gives the length of the serialized messages.
func (r *request) BytesSize() int {
	return r.bytes
}

// MergeSplit appends other, if there is one. It never splits: a request's id must stay with all of its
// rows, and the library cuts files itself. Config.Validate refuses a max_size for that reason.
func (r *request) MergeSplit(_ context.Context, _ int, _ exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
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
	if err := errors.Join(r.hold(), next.hold()); err != nil {
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

// hold has the library hold the bytes, if it does not yet.
func (r *request) hold() (err error) {
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

// setRedelivered says that an earlier process numbered some of it.
func (r *request) setRedelivered() {
	r.redelivered = true
	if r.batch != nil {
		r.batch.SetRedelivered()
	}
}

// free lets the bytes go: they are stored, or given up.
func (r *request) free() {
	r.batch.Free()
}

// parts says who the bytes are, in order.
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

// numberer gives requests their ids: a random writer per start of an exporter, and a counter. Each
// signal has its own, so that the ids of a batch are mostly one run of numbers.
type numberer struct {
	writer [16]byte
	last   atomic.Uint64
}

func newNumberer() *numberer {
	n := &numberer{}
	// Never fails: the program ends when there is no randomness to be had.
	_, _ = rand.Read(n.writer[:])
	return n
}

// number makes a request of one serialized message.
func (n *numberer) number(signal native.Signal, message []byte, items int) *request {
	return &request{
		signal:  signal,
		message: message,
		part: native.Part{
			Writer:   n.writer,
			Sequence: n.last.Add(1),
			Len:      uint64(len(message)),
		},
		items:    items,
		bytes:    len(message),
		received: time.Now(),
	}
}

// hasNumbered says whether all of these ids are its own, so that no other process had them before.
func (n *numberer) hasNumbered(parts []native.Part) bool {
	return !slices.ContainsFunc(parts, func(part native.Part) bool { return part.Writer != n.writer })
}
