// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

/*
#include "otlp2iceberg.h"
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Verify returns an error if the linked library has another interface than the one that this package was compiled
// against. CheckConfig and Open call it first.
func Verify() error {
	if got := uint32(C.o2i_abi_version()); got != C.O2I_ABI_VERSION {
		return fmt.Errorf(
			"the linked otlp2iceberg library has interface version %d, the exporter needs %d: "+
				"build both from the same checkout (make collector)",
			got, C.O2I_ABI_VERSION)
	}
	layout := uint64(C.sizeof_o2i_part) | uint64(C.sizeof_o2i_outcome)<<16 | uint64(C.sizeof_o2i_error)<<32
	if got := uint64(C.o2i_abi_layout()); got != layout {
		return fmt.Errorf(
			"the linked otlp2iceberg library lays out its structs as %#x, the exporter as %#x: "+
				"build both from the same checkout (make collector)",
			got, layout)
	}
	return nil
}

// Version returns the library's version, such as 0.1.0.
func Version() string {
	return C.GoString(C.o2i_version())
}

// logLineBytesMax is the length at which a line of the library's log is cut.
const logLineBytesMax = 16 << 10

// TakeLog removes and returns the oldest line of the library's log, or LogNone if there is none. From the first call
// on the library keeps its lines for TakeLog and no longer writes them to stderr. It has one log for the whole
// process.
func TakeLog() (LogLevel, string) {
	var (
		text  [logLineBytesMax]byte
		level C.int32_t
	)
	length := C.o2i_log_take(bytesPointer(text[:]), C.size_t(len(text)), &level)
	return LogLevel(level), string(text[:length])
}

// CheckConfig checks a configuration in JSON without opening anything. The error is an *Error whose message lists every
// problem with its key. A Collector that starts calls it before anything else.
func CheckConfig(config []byte) error {
	if err := Verify(); err != nil {
		return err
	}
	var failure C.o2i_error
	code := C.o2i_config_check(bytesPointer(config), C.size_t(len(config)), &failure)
	return takeError(code, &failure)
}

// Handle is the opened library. It is safe for concurrent use.
type Handle struct {
	// open becomes nil when the handle is closed.
	open atomic.Pointer[opened]
}

// opened wraps a C pointer, because an incomplete C type cannot be a type argument.
type opened struct {
	raw *C.o2i_handle
}

// Open opens the library with a configuration in JSON. The caller must close the handle.
func Open(config []byte) (*Handle, error) {
	if err := Verify(); err != nil {
		return nil, err
	}
	var (
		raw     *C.o2i_handle
		failure C.o2i_error
	)
	code := C.o2i_open(bytesPointer(config), C.size_t(len(config)), &raw, &failure)
	if err := takeError(code, &failure); err != nil {
		return nil, err
	}
	handle := &Handle{}
	handle.open.Store(&opened{raw: raw})
	return handle, nil
}

// BeginShutdown makes commits happen without waiting, as if commit.interval were 0. It is for a Collector that is about to
// stop and still has batches to export. It cannot be undone.
func (h *Handle) BeginShutdown() error {
	open := h.open.Load()
	if open == nil {
		return nil
	}
	var failure C.o2i_error
	code := C.o2i_begin_shutdown(open.raw, &failure)
	return takeError(code, &failure)
}

// Close refuses new exports, waits for those in progress and stops the library, all within timeout. Further calls do
// nothing.
func (h *Handle) Close(timeout time.Duration) error {
	open := h.open.Swap(nil)
	if open == nil {
		return nil
	}
	var failure C.o2i_error
	code := C.o2i_close(open.raw, milliseconds(timeout), &failure)
	return takeError(code, &failure)
}

// Export stores a batch. It returns nil when every row is in a committed snapshot, or in a receipt if
// commit.on_failure is accept. An *Error of class RetryClassPartial comes with an outcome: the rest is stored. After
// an error of class RetryClassRetry the same batch must be exported again on the same handle.
//
// received is when the oldest part was received, and zero means now. Records without a time of their own get it, so it
// must be the same each time a request is exported.
//
// The library frees the requests' bytes once they are no longer needed. When ctx ends, the library is cancelled.
// Export then waits until it has reached a safe point: a commit in progress is never abandoned, and may still succeed.
func (h *Handle) Export(ctx context.Context, batch *Batch, received time.Time) (Outcome, error) {
	open := h.open.Load()
	if open == nil {
		return Outcome{}, &Error{Code: CodeShutdown, RetryClass: RetryClassShutdown, Message: "the exporter is closed"}
	}
	timeout, err := timeLeft(ctx)
	if err != nil {
		return Outcome{}, err
	}
	cancel, release := watch(ctx)
	defer release()

	var (
		outcome C.o2i_outcome
		failure C.o2i_error
	)
	code := C.o2i_batch_export(open.raw, batch.raw, receivedUnixNano(received), cancel, timeout, &outcome, &failure)
	runtime.KeepAlive(batch)
	return goOutcome(&outcome), takeError(code, &failure)
}

// receivedUnixNano converts a time for the library. The zero time and times before 1970 become 0.
func receivedUnixNano(received time.Time) C.uint64_t {
	if received.IsZero() {
		return 0
	}
	return C.uint64_t(max(received.UnixNano(), 0))
}

// timeLeft returns the milliseconds until ctx ends, or UINT64_MAX without a deadline. If ctx has ended, it returns an
// error.
func timeLeft(ctx context.Context) (C.uint64_t, error) {
	if err := ctx.Err(); err != nil {
		return 0, &Error{Code: CodeCancelled, RetryClass: RetryClassRetry, Message: "not begun: " + err.Error()}
	}
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return math.MaxUint64, nil
	}
	return milliseconds(time.Until(deadline)), nil
}

// watch returns a token that is triggered when ctx ends, and a function that frees it. The token is nil if ctx never
// ends.
func watch(ctx context.Context) (token *C.o2i_cancel, release func()) {
	if ctx.Done() == nil {
		return nil, func() {}
	}
	token = C.o2i_cancel_new()
	triggered := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		C.o2i_cancel_trigger(token)
		close(triggered)
	})
	return token, func() {
		if !stop() {
			<-triggered
		}
		C.o2i_cancel_free(token)
	}
}

// takeError converts the library's error to a Go error and frees it.
func takeError(code C.int32_t, failure *C.o2i_error) error {
	if code == C.O2I_OK {
		return nil
	}
	defer C.o2i_error_free(failure)
	message := "the library gave no reason"
	if failure.message != nil {
		message = string(unsafe.Slice((*byte)(failure.message), int(failure.message_len)))
	}
	return &Error{
		Code:       Code(code),
		RetryClass: RetryClass(failure.retry_class),
		RetryAfter: duration(failure.retry_after_ms, time.Millisecond),
		Message:    message,
	}
}

// cParts converts parts to their C layout.
func cParts(parts []Part) []C.o2i_part {
	list := make([]C.o2i_part, len(parts))
	for i, part := range parts {
		for j, octet := range part.Writer {
			list[i].writer[j] = C.uint8_t(octet)
		}
		list[i].sequence = C.uint64_t(part.Sequence)
		list[i].len = C.uint64_t(part.Len)
	}
	return list
}

// goOutcome converts an outcome from its C layout.
func goOutcome(outcome *C.o2i_outcome) Outcome {
	var rejectedBy [reasonPlaces]uint64
	for reason, count := range outcome.rejected_by {
		rejectedBy[reason] = uint64(count)
	}
	return Outcome{
		Rows:              uint64(outcome.rows),
		Rejected:          uint64(outcome.rejected),
		Files:             uint64(outcome.files),
		FileBytes:         uint64(outcome.file_bytes),
		Commits:           uint64(outcome.commits),
		CommitAttempts:    uint64(outcome.commit_attempts),
		AlreadyCommitted:  uint64(outcome.already_committed),
		ReceiptsWritten:   uint64(outcome.receipts_written),
		ReceiptRows:       uint64(outcome.receipt_rows),
		ReceiptsCommitted: uint64(outcome.receipts_committed),
		RepairedUTF8:      uint64(outcome.repaired_utf8),
		RepairedNesting:   uint64(outcome.repaired_nesting),
		RepairedIDs:       uint64(outcome.repaired_ids),
		RepairedTimes:     uint64(outcome.repaired_times),
		ValuesLeftOut:     uint64(outcome.values_left_out),
		CutTexts:          uint64(outcome.cut_texts),
		DroppedAttributes: uint64(outcome.dropped_attributes),
		RejectedBy:        rejectedBy,
		DeadLetterRecords: uint64(outcome.dead_letter_records),
		DeadLetterObjects: uint64(outcome.dead_letter_objects),
		CommitTime:        duration(outcome.commit_micros, time.Microsecond),
		InFlightWaits:     uint64(outcome.in_flight_waits),
		Merges:            uint64(outcome.merges),
		MergedFiles:       uint64(outcome.merged_files),
		MergeFailures:     uint64(outcome.merge_failures),
	}
}

// bytesPointer returns a pointer to the first byte.
func bytesPointer(data []byte) *C.uint8_t {
	return (*C.uint8_t)(unsafe.SliceData(data))
}

// duration converts the library's count of a unit of time. It returns the longest duration for counts beyond it.
func duration(count C.uint64_t, unit time.Duration) time.Duration {
	return time.Duration(min(uint64(count), math.MaxInt64/uint64(unit))) * unit
}

// milliseconds rounds up, so that a short time does not become 0.
func milliseconds(d time.Duration) C.uint64_t {
	if d <= 0 {
		return 0
	}
	return C.uint64_t((d-1)/time.Millisecond + 1)
}
