// SPDX-License-Identifier: Apache-2.0

// Package native is the Go side of the library's C interface, and the only cgo of the exporter.
//
// otlp2iceberg.h, which is generated from rust/ffi, is that interface. The library itself is a static archive that
// `make collector` puts in lib/<os>_<arch>. A build without cgo, or for another target, uses stub.go: everything
// compiles, and Verify returns why nothing works. header_checks.go compares the numbers below with the header's.
package native

import "time"

// Signal says which signal's export request a payload is.
type Signal uint8

// The signals, with the numbers of O2I_SIGNAL_*. Persistent queues store these numbers, so they must never change.
const (
	SignalLogs    Signal = 1
	SignalTraces  Signal = 2
	SignalMetrics Signal = 3
)

// String returns the signal's name in pipelines: logs, traces or metrics.
func (s Signal) String() string {
	switch s {
	case SignalLogs:
		return "logs"
	case SignalTraces:
		return "traces"
	case SignalMetrics:
		return "metrics"
	default:
		return "unknown"
	}
}

// Part is one request inside a payload: its id, and how many of the payload's bytes belong to it. The parts of a
// payload follow each other without gaps.
type Part struct {
	// Writer is the id of the process and signal that assigned Sequence.
	Writer [16]byte
	// Sequence is the writer's number for the request.
	Sequence uint64
	// Len is the length in bytes of the request's serialized message.
	Len uint64
}

// Outcome is the result of storing a payload.
type Outcome struct {
	// Rows counts rows that are now in tables.
	Rows uint64
	// Rejected counts records and points that were left out.
	Rejected uint64
	// Files counts the files written, and FileBytes their bytes.
	Files, FileBytes uint64
	// Commits counts the commits of these files, and CommitAttempts the attempts.
	Commits, CommitAttempts uint64
	// AlreadyCommitted counts requests that a table already had, once per table.
	AlreadyCommitted uint64
	// ReceiptsWritten counts the receipts written because the catalog did not commit, and ReceiptRows their rows, which
	// are in no table yet.
	ReceiptsWritten, ReceiptRows uint64
	// ReceiptsCommitted counts the receipts of any process and table that were committed since the last call.
	ReceiptsCommitted uint64
	// RepairedUTF8 counts strings stored with U+FFFD for invalid UTF-8.
	RepairedUTF8 uint64
	// RepairedNesting counts values nested too deeply, stored as null.
	RepairedNesting uint64
	// RepairedIDs counts invalid trace and span ids, stored as null.
	RepairedIDs uint64
	// RepairedTimes counts times out of range, stored as null.
	RepairedTimes uint64
	// ValuesLeftOut counts values for which their table has no column.
	ValuesLeftOut uint64
	// CutTexts counts texts cut at limits.value_bytes_max.
	CutTexts uint64
	// DroppedAttributes counts attributes dropped beyond limits.attributes_max.
	DroppedAttributes uint64
	// RejectedBy is Rejected split by Reason.
	RejectedBy [reasonPlaces]uint64
	// DeadLetterRecords counts the rejected records that are kept, and DeadLetterObjects the objects that hold them.
	DeadLetterRecords, DeadLetterObjects uint64
	// CommitTime is how long the commits took, and 0 without commits.
	CommitTime time.Duration
	// InFlightWaits is 1 when the call had to wait for limits.in_flight_bytes_max.
	InFlightWaits uint64
	// Merges counts the files that were merged from small ones since the last call of the same signal, and MergedFiles
	// the small files that they replaced. MergeFailures counts rounds that failed, once per table.
	Merges, MergedFiles, MergeFailures uint64
}

// Reason says why a record, a point or a whole request was left out.
type Reason int

// The reasons, with the numbers of O2I_REASON_*.
const (
	ReasonMalformed         Reason = 0
	ReasonPayloadTooLarge   Reason = 1
	ReasonTooManyRecords    Reason = 2
	ReasonNoData            Reason = 3
	ReasonInvalidPoint      Reason = 4
	ReasonRecordTooLarge    Reason = 5
	ReasonTooManyPartitions Reason = 6
	ReasonTable             Reason = 7
	ReasonPanic             Reason = 8

	// reasonPlaces is O2I_REASON_PLACES. It leaves room for more reasons.
	reasonPlaces = 16
)

var reasonNames = [...]string{
	"malformed", "payload_too_large", "too_many_records", "no_data", "invalid_point", "record_too_large",
	"too_many_partitions", "table", "panic",
}

// Reasons returns all reasons.
func Reasons() []Reason {
	reasons := make([]Reason, len(reasonNames))
	for i := range reasons {
		reasons[i] = Reason(i)
	}
	return reasons
}

// String returns the reason's name in metrics and dead letters.
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}

// RetryClass says what to do with a request that failed. Only the library decides it.
type RetryClass int32

// The retry classes, with the numbers of O2I_RETRY_CLASS_*.
const (
	RetryClassNone      RetryClass = 0
	RetryClassRetry     RetryClass = 1
	RetryClassPermanent RetryClass = 2
	RetryClassPartial   RetryClass = 3
	RetryClassShutdown  RetryClass = 4
)

// Code says what kind of error occurred.
type Code int32

// The codes, with the numbers of O2I_ERROR_*.
const (
	CodeConfig          Code = 1
	CodeDecode          Code = 2
	CodeRejected        Code = 3
	CodeTableMismatch   Code = 4
	CodeStorage         Code = 5
	CodeCatalog         Code = 6
	CodeCommitUnknown   Code = 7
	CodeCancelled       Code = 8
	CodeShutdown        Code = 9
	CodeLimit           Code = 10
	CodeInternal        Code = 11
	CodeInvalidArgument Code = 12
)

var codeNames = map[Code]string{
	CodeConfig: "config", CodeDecode: "decode", CodeRejected: "rejected", CodeTableMismatch: "table_mismatch",
	CodeStorage: "storage", CodeCatalog: "catalog", CodeCommitUnknown: "commit_unknown", CodeCancelled: "cancelled",
	CodeShutdown: "shutdown", CodeLimit: "limit", CodeInternal: "internal", CodeInvalidArgument: "invalid_argument",
}

// String returns the code's name in metrics.
func (c Code) String() string {
	if name, known := codeNames[c]; known {
		return name
	}
	return "unknown"
}

// LogLevel is a level of the library's log.
type LogLevel int32

// The levels, with the numbers of O2I_LOG_*. LogNone means that there is no line.
const (
	LogNone  LogLevel = 0
	LogError LogLevel = 1
	LogWarn  LogLevel = 2
)

// Error is an error of the library.
type Error struct {
	Code       Code
	RetryClass RetryClass
	// RetryAfter is the least time to wait before a retry, or 0 if the library gives none.
	RetryAfter time.Duration
	// Message is one line that says what is wrong.
	Message string
}

// Error returns the message.
func (e *Error) Error() string {
	return e.Message
}

// Poisoned returns whether the handle refused because an earlier call on it panicked. Only a new process can store
// anything then. No other error is internal and of class shutdown.
func (e *Error) Poisoned() bool {
	return e.Code == CodeInternal && e.RetryClass == RetryClassShutdown
}

// installStamp is the SHA-256 in hex of the linked archive. The generated file stamp_<os>_<arch>.go sets it, if
// install-library.sh installed the archive. Nothing reads it: Go does not notice that an archive named in LDFLAGS has
// changed, but it notices a changed source file, and the different string in the compiled package makes it link again.
var installStamp string
