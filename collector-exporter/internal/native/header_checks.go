// SPDX-License-Identifier: Apache-2.0

//go:build cgo && linux && (amd64 || arm64)

package native

/*
#include "otlp2iceberg.h"
*/
import "C"

// native.go repeats the header's numbers, because it must also compile without cgo. Each line below compiles only
// while both numbers are equal: arrays of different lengths have different types.
var (
	_ [CodeConfig]struct{}          = [C.O2I_ERROR_CONFIG]struct{}{}
	_ [CodeDecode]struct{}          = [C.O2I_ERROR_DECODE]struct{}{}
	_ [CodeRejected]struct{}        = [C.O2I_ERROR_REJECTED]struct{}{}
	_ [CodeTableMismatch]struct{}   = [C.O2I_ERROR_TABLE_MISMATCH]struct{}{}
	_ [CodeStorage]struct{}         = [C.O2I_ERROR_STORAGE]struct{}{}
	_ [CodeCatalog]struct{}         = [C.O2I_ERROR_CATALOG]struct{}{}
	_ [CodeCommitUnknown]struct{}   = [C.O2I_ERROR_COMMIT_UNKNOWN]struct{}{}
	_ [CodeCancelled]struct{}       = [C.O2I_ERROR_CANCELLED]struct{}{}
	_ [CodeShutdown]struct{}        = [C.O2I_ERROR_SHUTDOWN]struct{}{}
	_ [CodeLimit]struct{}           = [C.O2I_ERROR_LIMIT]struct{}{}
	_ [CodeInternal]struct{}        = [C.O2I_ERROR_INTERNAL]struct{}{}
	_ [CodeInvalidArgument]struct{} = [C.O2I_ERROR_INVALID_ARGUMENT]struct{}{}

	_ [RetryClassNone]struct{}      = [C.O2I_RETRY_CLASS_NONE]struct{}{}
	_ [RetryClassRetry]struct{}     = [C.O2I_RETRY_CLASS_RETRY]struct{}{}
	_ [RetryClassPermanent]struct{} = [C.O2I_RETRY_CLASS_PERMANENT]struct{}{}
	_ [RetryClassPartial]struct{}   = [C.O2I_RETRY_CLASS_PARTIAL]struct{}{}
	_ [RetryClassShutdown]struct{}  = [C.O2I_RETRY_CLASS_SHUTDOWN]struct{}{}

	_ [SignalLogs]struct{}    = [C.O2I_SIGNAL_LOGS]struct{}{}
	_ [SignalTraces]struct{}  = [C.O2I_SIGNAL_TRACES]struct{}{}
	_ [SignalMetrics]struct{} = [C.O2I_SIGNAL_METRICS]struct{}{}

	_ [LogNone]struct{}  = [C.O2I_LOG_NONE]struct{}{}
	_ [LogError]struct{} = [C.O2I_LOG_ERROR]struct{}{}
	_ [LogWarn]struct{}  = [C.O2I_LOG_WARN]struct{}{}

	_ [ReasonMalformed]struct{}         = [C.O2I_REASON_MALFORMED]struct{}{}
	_ [ReasonPayloadTooLarge]struct{}   = [C.O2I_REASON_PAYLOAD_TOO_LARGE]struct{}{}
	_ [ReasonTooManyRecords]struct{}    = [C.O2I_REASON_TOO_MANY_RECORDS]struct{}{}
	_ [ReasonNoData]struct{}            = [C.O2I_REASON_NO_DATA]struct{}{}
	_ [ReasonInvalidPoint]struct{}      = [C.O2I_REASON_INVALID_POINT]struct{}{}
	_ [ReasonRecordTooLarge]struct{}    = [C.O2I_REASON_RECORD_TOO_LARGE]struct{}{}
	_ [ReasonTooManyPartitions]struct{} = [C.O2I_REASON_TOO_MANY_PARTITIONS]struct{}{}
	_ [ReasonTable]struct{}             = [C.O2I_REASON_TABLE]struct{}{}
	_ [ReasonPanic]struct{}             = [C.O2I_REASON_PANIC]struct{}{}
	_ [reasonPlaces]struct{}            = [C.O2I_REASON_PLACES]struct{}{}
)
