// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

/*
#include "otlp2iceberg.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync/atomic"
)

// liveBatches counts the library's batches that are not freed.
var liveBatches atomic.Int64

// LiveBatches returns how many batches the library holds for this process.
func LiveBatches() int64 {
	return liveBatches.Load()
}

// Batch holds requests of one signal, whose bytes are in the library, outside Go's heap. Only one goroutine at a time
// may use it. The caller frees it after use. A batch that is not freed is freed when it is garbage-collected.
type Batch struct {
	// raw is nil once freed.
	raw     *C.o2i_batch
	cleanup runtime.Cleanup
	signal  Signal
	parts   []Part
	bytes   int
}

// NewBatch copies serialized Export*ServiceRequest messages of one signal. The payload holds them one after the other,
// as parts describes them.
func NewBatch(signal Signal, payload []byte, parts []Part) (*Batch, error) {
	var (
		raw     *C.o2i_batch
		failure C.o2i_error
	)
	code := C.o2i_batch_new(C.uint32_t(signal), &raw, &failure)
	if err := takeError(code, &failure); err != nil {
		return nil, err
	}
	// cgo pins both slices until the call returns. Neither contains a Go pointer.
	code = C.o2i_batch_append(raw, bytesPointer(payload), C.size_t(len(payload)),
		partsPointer(cParts(parts)), C.size_t(len(parts)), &failure)
	if err := takeError(code, &failure); err != nil {
		C.o2i_batch_free(raw)
		return nil, err
	}
	liveBatches.Add(1)
	b := &Batch{raw: raw, signal: signal, parts: parts, bytes: len(payload)}
	b.cleanup = runtime.AddCleanup(b, freeBatch, &heldBatch{raw})
	return b, nil
}

// heldBatch wraps a C pointer, because an incomplete C type cannot be a type argument.
type heldBatch struct {
	raw *C.o2i_batch
}

func freeBatch(held *heldBatch) {
	C.o2i_batch_free(held.raw)
	liveBatches.Add(-1)
}

// Free frees the batch with all it holds. Further calls do nothing.
func (b *Batch) Free() {
	if b == nil || b.raw == nil {
		return
	}
	b.cleanup.Stop()
	freeBatch(&heldBatch{b.raw})
	b.raw, b.parts = nil, nil
}

// SetRedelivered notes that some of the requests may have been in another batch before, as requests that a queue on
// disk delivers again after a restart.
func (b *Batch) SetRedelivered() {
	C.o2i_batch_set_redelivered(b.raw)
	runtime.KeepAlive(b)
}

// Merge moves all requests of another batch of the same signal into this one and frees the other. An error leaves both
// unchanged.
func (b *Batch) Merge(other *Batch) error {
	var failure C.o2i_error
	code := C.o2i_batch_merge(b.raw, other.raw, &failure)
	runtime.KeepAlive(b)
	if err := takeError(code, &failure); err != nil {
		return fmt.Errorf("cannot merge batches: %w", err)
	}
	b.parts = append(b.parts, other.parts...)
	b.bytes += other.bytes
	other.Free()
	return nil
}

// Signal returns the requests' signal.
func (b *Batch) Signal() Signal {
	return b.signal
}

// Parts returns the requests' ids and lengths, in order.
func (b *Batch) Parts() []Part {
	return b.parts
}

// AppendPayload appends the requests' messages to data, one after the other. It fails once the library has freed them,
// which may happen when the batch is exported.
func (b *Batch) AppendPayload(data []byte) ([]byte, error) {
	begin := len(data)
	data = append(data, make([]byte, b.bytes)...)
	payload := data[begin:]
	var failure C.o2i_error
	code := C.o2i_batch_copy(b.raw, bytesPointer(payload), C.size_t(len(payload)), &failure)
	runtime.KeepAlive(b)
	if err := takeError(code, &failure); err != nil {
		return data[:begin], err
	}
	return data, nil
}

// partsPointer returns a pointer to the first part, or nil if there is none.
func partsPointer(list []C.o2i_part) *C.o2i_part {
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
