// SPDX-License-Identifier: Apache-2.0

// Package native is the Go side of the library's C interface, and the only cgo of the exporter.
//
// otlp2iceberg.h is that interface; it is generated from rust/ffi. The library itself is a static
// archive that `make collector` puts in lib/<os>_<arch>. A build without cgo, or for another
// target, gets stub.go: everything compiles, and Verify says why nothing works.
package native

import (
	"strings"
	"time"
)

// Signal says which service's request a payload is.
type Signal uint8

// The signals, with the numbers of O2I_SIGNAL_*. They are stored in persistent queues: never change one.
const (
	SignalLogs    Signal = 1
	SignalTraces  Signal = 2
	SignalMetrics Signal = 3
)

// String gives the signal's name in pipelines: logs, traces or metrics.
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

// Part is one request inside a payload: who it is and how many of the payload's bytes are its own.
// The parts of a payload follow each other without gaps.
type Part struct {
	// Writer is the id of the writer that numbered the request.
	Writer [16]byte
	// Sequence is the writer's number for the request.
	Sequence uint64
	// Len is the length in bytes of the request's serialized message.
	Len uint64
}

// Outcome says what became of a payload that was stored.
type Outcome struct {
	// Rows that are now in tables.
	Rows uint64
	// Rejected records and points, which were left out.
	Rejected uint64
	// Files written, and their bytes.
	Files, FileBytes uint64
	// Commits that hold them, and the attempts it took.
	Commits, CommitAttempts uint64
	// AlreadyCommitted counts requests that a table held already, once per table.
	AlreadyCommitted uint64
	// ReceiptsWritten because the catalog did not commit, and the rows in them, which no table has yet.
	ReceiptsWritten, ReceiptRows uint64
	// ReceiptsCommitted since the last call of the same signal, whoever wrote them.
	ReceiptsCommitted uint64
	// RepairedUTF8 counts strings stored with U+FFFD for invalid UTF-8.
	RepairedUTF8 uint64
	// RepairedNesting counts values nested too deeply, stored as null.
	RepairedNesting uint64
	// RepairedIDs counts invalid trace and span ids, stored as null.
	RepairedIDs uint64
	// RepairedTimes counts times out of range, stored as null.
	RepairedTimes uint64
	// ValuesLeftOut counts values whose table has no such column.
	ValuesLeftOut uint64
	// CutTexts counts texts cut at limits.value_bytes_max.
	CutTexts uint64
	// DroppedAttributes counts attributes dropped beyond limits.attributes_max.
	DroppedAttributes uint64
	// RejectedBy is what Rejected is made of, by Reason.
	RejectedBy [reasonPlaces]uint64
	// DeadLetterRecords are those of Rejected that are kept, in so many DeadLetterObjects.
	DeadLetterRecords, DeadLetterObjects uint64
	// CommitTime is how long the commits took; 0 without any.
	CommitTime time.Duration
	// InFlightWaits is 1 when the call had to wait for limits.in_flight_bytes_max.
	InFlightWaits uint64
	// Merges is how many files small ones were merged into since the last call of the same signal, and
	// MergedFiles how many they took the place of. MergeFailures are rounds that failed, once per table.
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

	// reasonPlaces is O2I_REASON_PLACES: the reasons, and room for more.
	reasonPlaces = 16
)

var reasonNames = [...]string{
	"malformed", "payload_too_large", "too_many_records", "no_data", "invalid_point", "record_too_large",
	"too_many_partitions", "table", "panic",
}

// Reasons gives all of them.
func Reasons() []Reason {
	reasons := make([]Reason, len(reasonNames))
	for i := range reasons {
		reasons[i] = Reason(i)
	}
	return reasons
}

// String gives the reason's name in metrics and dead letters.
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}

// RetryClass says what to do with a request that failed. The library decides it, once.
type RetryClass int32

// The classes, with the numbers of O2I_RETRY_CLASS_*.
const (
	RetryClassNone      RetryClass = 0
	RetryClassRetry     RetryClass = 1
	RetryClassPermanent RetryClass = 2
	RetryClassPartial   RetryClass = 3
	RetryClassShutdown  RetryClass = 4
)

// Code says what kind of thing went wrong, with the numbers of O2I_ERROR_*.
type Code int32

// The codes.
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

// String gives the code's name in metrics.
func (c Code) String() string {
	if name, known := codeNames[c]; known {
		return name
	}
	return "unknown"
}

// LogLevel is a level of the library's log, with the numbers of O2I_LOG_*.
type LogLevel int32

// The levels. LogNone is that of no line.
const (
	LogNone  LogLevel = 0
	LogError LogLevel = 1
	LogWarn  LogLevel = 2
)

// Error is an error of the library.
type Error struct {
	Code       Code
	RetryClass RetryClass
	// RetryAfter is how long to wait at least before a retry; 0 when the library has no opinion.
	RetryAfter time.Duration
	// Message is one line that says what to do.
	Message string
}

// Error gives the message.
func (e *Error) Error() string {
	return e.Message
}

// Poisoned says whether the handle refused because an earlier call on it panicked: it can store
// nothing any more, only a new process can. No other error is internal and of class shutdown.
func (e *Error) Poisoned() bool {
	return e.Code == CodeInternal && e.RetryClass == RetryClassShutdown
}

// InstallStamp names the archive that the program was linked with: its SHA-256 in hex, or "" when
// install-library.sh did not put it there.
func InstallStamp() string {
	return strings.TrimSpace(installStamp)
}

// installStamp is set by stamp_<os>_<arch>.go, if there is one. Go does not notice that an archive named in LDFLAGS has
// changed, but it does notice a changed source file; a string that reaches the compiled package makes
// it link anew.
var installStamp string
