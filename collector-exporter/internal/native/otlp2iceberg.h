// The C interface of otlp2iceberg: OpenTelemetry in, Apache Iceberg tables out.
//
// Generated from rust/ffi by cbindgen. Do not edit; write it anew with
//     UPDATE_HEADER=1 cargo test -p otlp2iceberg-ffi --test header
//
// Words used below. Borrowed: the caller's, read during the call and never kept. Owned: the caller
// gives it back to the function named. Consumed: the caller must not use it again, whatever the call
// returns. Check o2i_abi_version() and o2i_abi_layout() before any other call. No call is made from
// a thread inside a Tokio runtime.

#ifndef OTLP2ICEBERG_H
#define OTLP2ICEBERG_H

#include <stddef.h>
#include <stdint.h>

// The version of this interface. It changes whenever a caller compiled against the old header could
// misread the new library; compare it with `o2i_abi_version()` before any other call.
#define O2I_ABI_VERSION 6

// The call did what it says.
#define O2I_OK 0

// The configuration is wrong; the message lists every problem with its key.
#define O2I_ERROR_CONFIG 1

// The payload is not the OTLP message that it should be; the message names the path.
#define O2I_ERROR_DECODE 2

// Some records were rejected by themselves and the rest is stored.
#define O2I_ERROR_REJECTED 3

// The table that exists cannot hold our rows.
#define O2I_ERROR_TABLE_MISMATCH 4

// Reading or writing a file failed.
#define O2I_ERROR_STORAGE 5

// The catalog refused, or could not be reached before anything was sent to it.
#define O2I_ERROR_CATALOG 6

// A commit was sent and its outcome is not known.
#define O2I_ERROR_COMMIT_UNKNOWN 7

// The caller cancelled, or the time allowed ran out, before anything was committed.
#define O2I_ERROR_CANCELLED 8

// The handle is closing or closed.
#define O2I_ERROR_SHUTDOWN 9

// A configured limit was passed.
#define O2I_ERROR_LIMIT 10

// A bug in the library: a caught panic, a broken invariant, a poisoned handle.
#define O2I_ERROR_INTERNAL 11

// The caller broke the contract of this interface.
#define O2I_ERROR_INVALID_ARGUMENT 12

// No error.
#define O2I_RETRY_CLASS_NONE 0

// Send the same request again, not before `retry_after_ms`.
#define O2I_RETRY_CLASS_RETRY 1

// Sending it again cannot help.
#define O2I_RETRY_CLASS_PERMANENT 2

// All but the rejected records is stored; do not send it again.
#define O2I_RETRY_CLASS_PARTIAL 3

// The process is stopping; keep the request for the next one.
#define O2I_RETRY_CLASS_SHUTDOWN 4

// The payload is an `ExportLogsServiceRequest`.
#define O2I_SIGNAL_LOGS 1

// The payload is an `ExportTraceServiceRequest`.
#define O2I_SIGNAL_TRACES 2

// The payload is an `ExportMetricsServiceRequest`.
#define O2I_SIGNAL_METRICS 3

// No line of the log.
#define O2I_LOG_NONE 0

// A line that asks for somebody.
#define O2I_LOG_ERROR 1

// A line that warns.
#define O2I_LOG_WARN 2

// Place in `rejected_by`: the request is no well-formed message.
#define O2I_REASON_MALFORMED 0

// Place in `rejected_by`: the request is above `limits.payload_bytes_max`.
#define O2I_REASON_PAYLOAD_TOO_LARGE 1

// Place in `rejected_by`: the request has more records than `limits.records_per_request_max`.
#define O2I_REASON_TOO_MANY_RECORDS 2

// Place in `rejected_by`: a metric without data.
#define O2I_REASON_NO_DATA 3

// Place in `rejected_by`: a data point that contradicts itself, or with a number no column holds.
#define O2I_REASON_INVALID_POINT 4

// Place in `rejected_by`: a record that fills a column of a batch by itself.
#define O2I_REASON_RECORD_TOO_LARGE 5

// Place in `rejected_by`: a row beyond `limits.partitions_max`.
#define O2I_REASON_TOO_MANY_PARTITIONS 6

// Place in `rejected_by`: the table cannot take its rows.
#define O2I_REASON_TABLE 7

// Place in `rejected_by`: the request makes the library panic.
#define O2I_REASON_PANIC 8

// Places in `rejected_by`: the reasons above, and room for more.
#define O2I_REASON_PLACES 16

// Requests of one signal. Opaque; made by `o2i_batch_new`, freed by `o2i_batch_free`.
//
// The lock is never waited for: one call at a time uses a batch, and another gets an error.
typedef struct o2i_batch o2i_batch;

// A cancel token. Opaque; made by `o2i_cancel_new`, freed by `o2i_cancel_free`.
typedef struct o2i_cancel o2i_cancel;

// The library, opened. Opaque; made by `o2i_open`, consumed by `o2i_close`.
typedef struct o2i_handle o2i_handle;

// Why a call failed and what to do about it. The caller gives the place; the call fills it.
typedef struct o2i_error {
  // `O2I_OK` or one of `O2I_ERROR_*`; the same number that the call returned.
  int32_t code;
  // One of `O2I_RETRY_CLASS_*`: what to do with the request.
  int32_t retry_class;
  // For `O2I_RETRY_CLASS_RETRY`: milliseconds to wait at least; 0 when the library has no opinion.
  uint64_t retry_after_ms;
  // One line of UTF-8, not NUL-terminated; null when there is none. Owned: `o2i_error_free`.
  uint8_t *message;
  // Length of the message in bytes.
  size_t message_len;
} o2i_error;

// One request inside a payload: who it is and how many of the payload's bytes are its own.
typedef struct o2i_part {
  // The writer's id: random per process start, or the content's hash.
  uint8_t writer[16];
  // The writer's number for this request.
  uint64_t sequence;
  // Length in bytes of the request's serialized message inside the payload.
  uint64_t len;
} o2i_part;

// What became of a call that stored something.
typedef struct o2i_outcome {
  // Rows that are now in tables.
  uint64_t rows;
  // Records and points left out; the error's message says why.
  uint64_t rejected;
  // Data files written.
  uint64_t files;
  // Their bytes.
  uint64_t file_bytes;
  // Commits that hold them.
  uint64_t commits;
  // Commit attempts made.
  uint64_t commit_attempts;
  // Requests that the tables held already and that were left out, counted once per table.
  uint64_t already_committed;
  // Receipts written because the catalog did not commit (`commit.on_failure: accept`), one per table.
  uint64_t receipts_written;
  // Rows that are in them, stored and in no table yet.
  uint64_t receipt_rows;
  // Receipts, of any process and table, that this one committed since the last call.
  uint64_t receipts_committed;
  // Strings stored with U+FFFD for invalid UTF-8.
  uint64_t repaired_utf8;
  // Values nested too deeply, stored as null.
  uint64_t repaired_nesting;
  // Invalid ids, stored as null.
  uint64_t repaired_ids;
  // Times out of range, stored as null.
  uint64_t repaired_times;
  // Values left out because their table has no such column.
  uint64_t values_left_out;
  // Texts cut at `limits.value_bytes_max`.
  uint64_t cut_texts;
  // Attributes dropped beyond `limits.attributes_max`.
  uint64_t dropped_attributes;
  // What `rejected` is made of, by `O2I_REASON_*`; places without a reason are 0.
  uint64_t rejected_by[O2I_REASON_PLACES];
  // Those of `rejected` that are kept as dead letters.
  uint64_t dead_letter_records;
  // Dead letters written.
  uint64_t dead_letter_objects;
  // Microseconds from handing the files to the committers to the last answer; 0 without commits.
  uint64_t commit_micros;
  // 1 when the call had to wait for `limits.in_flight_bytes_max`.
  uint64_t in_flight_waits;
  // Files that small ones were merged into since the last call of the same signal.
  uint64_t merges;
  // Small files that these took the place of.
  uint64_t merged_files;
  // Rounds of compaction that ended with a failure, once per table.
  uint64_t merge_failures;
} o2i_outcome;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Gives the version of the interface that the library was built with.
//
// # Returns
// `O2I_ABI_VERSION` as the library knows it. A caller refuses to go on when it differs from its own.
uint32_t o2i_abi_version(void);

// Gives the sizes of the structs as the library was built with, to be compared with the caller's.
//
// # Returns
// `sizeof(o2i_part) | sizeof(o2i_outcome) << 16 | sizeof(o2i_error) << 32`, in 64 bits.
uint64_t o2i_abi_layout(void);

// Gives the library's version, such as `0.1.0`.
//
// # Returns
// A NUL-terminated ASCII string that lives as long as the process; never null, not to be freed.
const char *o2i_version(void);

// Frees an error's message and makes the error a zeroed one.
//
// # Arguments
// - `error` (borrowed; its message is consumed): an error that a call of this library filled, a
//   zeroed one, or null. Freeing the same one twice is safe, freeing a copy of a freed one is not.
//
// # Safety
// `error` is null, or aligned, readable and writable, and its message is null or was made by this
// library and is not freed yet.
void o2i_error_free(struct o2i_error *error);

// Checks a configuration: no file is touched, nothing is connected to.
//
// # Arguments
// - `config_json` (borrowed), `config_json_len`: a JSON object in UTF-8, its length in bytes.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK`, or the code with `error` filled: `O2I_ERROR_CONFIG` lists every problem with its key.
//
// # Safety
// `config_json` is null or readable for `config_json_len` bytes; `error` is null or writable and
// aligned.
int32_t o2i_config_check(const uint8_t *config_json,
                         size_t config_json_len,
                         struct o2i_error *error);

// Opens the library: reads the configuration, starts a runtime, opens the catalog. Tables are made
// on the first write of each.
//
// The first call in a process also has the warnings of the library (of the whole process's Rust
// `tracing`) kept for `o2i_log_take`, or written to stderr, one line each, where the host never called that;
// unless the host has set a `tracing` subscriber before.
//
// # Arguments
// - `config_json` (borrowed), `config_json_len`: a JSON object in UTF-8, its length in bytes.
// - `handle` (owned by the caller, filled): where the handle goes. Not null; null is written to it on
//   failure.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK` with an owned handle, to be given to `o2i_close`; or the code with `error` filled.
//
// # Safety
// `config_json` is null or readable for `config_json_len` bytes; `handle` and `error` are null or
// writable and aligned.
int32_t o2i_open(const uint8_t *config_json,
                 size_t config_json_len,
                 struct o2i_handle **handle,
                 struct o2i_error *error);

// Has commits no longer wait for their turn, as if `commit.interval` were 0: those of calls in flight, and of
// calls to come. For a host that is about to stop and has payloads left to hand over. There is no way back.
//
// # Arguments
// - `handle` (borrowed): an open handle.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK`, at once; `O2I_ERROR_SHUTDOWN` when the handle is not open, `O2I_ERROR_INTERNAL` when it is
// poisoned.
//
// # Safety
// `error` is null or writable and aligned.
int32_t o2i_begin_shutdown(const struct o2i_handle *handle,
                           struct o2i_error *error);

// Closes the library: refuses new calls with class `O2I_RETRY_CLASS_SHUTDOWN`, waits for those in
// flight, and stops the runtime.
//
// Calls that are in flight on other threads are safe, and so is a call that begins meanwhile. A call
// that begins after this one returned breaks the contract, though it too gets an error as long as no
// new handle has the same address.
//
// # Arguments
// - `handle` (consumed, whatever the call returns): an open handle.
// - `timeout_ms`: how long to wait for calls in flight and for the runtime's threads together.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK` when no call is in flight any more; work in the background that was not done after `timeout_ms` is
// abandoned with a warning. `O2I_ERROR_SHUTDOWN` when calls were still in flight then: they go on to their end on
// their own threads, and the last one stops the runtime. `O2I_ERROR_INTERNAL` when the handle was poisoned; it is closed all the same.
//
// # Safety
// `error` is null or writable and aligned.
int32_t o2i_close(struct o2i_handle *handle,
                  uint64_t timeout_ms,
                  struct o2i_error *error);

// Makes a cancel token, not triggered.
//
// # Returns
// Owned: `o2i_cancel_free`. Null only when the library has a bug.
struct o2i_cancel *o2i_cancel_new(void);

// Cancels the calls that were given this token, running or yet to come. It returns at once; the calls
// return when they have come to a safe place: a commit in flight is never abandoned. Once triggered
// a token stays so.
//
// # Arguments
// - `cancel` (borrowed): a token, or null, which does nothing. Any thread may trigger it.
//
// # Safety
// `cancel` is null or came from `o2i_cancel_new` and is not freed during the call.
void o2i_cancel_trigger(const struct o2i_cancel *cancel);

// Frees a cancel token. It does not trigger it.
//
// # Arguments
// - `cancel` (consumed): a token that no call is using any more, or null.
//
// # Safety
// `cancel` is null or came from `o2i_cancel_new`, is not freed yet, and no other call has it.
void o2i_cancel_free(struct o2i_cancel *cancel);

// Makes a batch without requests. It belongs to no handle until it is exported.
//
// # Arguments
// - `signal`: one of `O2I_SIGNAL_*`.
// - `batch` (owned by the caller, filled): where the batch goes. Not null; null is written to it on
//   failure.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK` with an owned batch, to be given to `o2i_batch_free`; or the code with `error` filled.
//
// # Safety
// `batch` and `error` are null or writable and aligned.
int32_t o2i_batch_new(uint32_t signal,
                      struct o2i_batch **batch,
                      struct o2i_error *error);

// Copies requests into a batch, behind those that are there. When it fails nothing is added.
//
// # Arguments
// - `batch` (borrowed): a batch that was not exported yet, or whose export failed with its bytes still held.
// - `payload` (borrowed), `payload_len`: the requests' serialized messages, one after the other.
// - `parts` (borrowed), `parts_len`: the requests in it, in order. Their lengths add up to `payload_len`.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK`, or the code with `error` filled.
//
// # Safety
// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `payload` and `parts` are
// null or readable for their lengths and nobody writes to them during the call; `error` is null or
// writable and aligned.
int32_t o2i_batch_append(const struct o2i_batch *batch,
                         const uint8_t *payload,
                         size_t payload_len,
                         const struct o2i_part *parts,
                         size_t parts_len,
                         struct o2i_error *error);

// Says that some of a batch's requests may have been exported in another batch before, as those are that
// come again from a queue on disk after a restart. Their bytes are then held until the batch is stored.
//
// # Arguments
// - `batch` (borrowed): a batch; null does nothing.
//
// # Safety
// `batch` is null or came from `o2i_batch_new` and is not freed during the call.
void o2i_batch_set_redelivered(const struct o2i_batch *batch);

// Moves all requests of a batch behind those of another of the same signal. Both are as they were when it
// fails.
//
// # Arguments
// - `batch` (borrowed): the batch that gets them.
// - `other` (borrowed): the one that gives them; it is empty then and must still be freed.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK`, or the code with `error` filled.
//
// # Safety
// `batch` and `other` are null or came from `o2i_batch_new` and are not freed during the call; `error` is
// null or writable and aligned.
int32_t o2i_batch_merge(const struct o2i_batch *batch,
                        const struct o2i_batch *other,
                        struct o2i_error *error);

// Copies the serialized messages of a batch's requests out, one after the other.
//
// # Arguments
// - `batch` (borrowed): a batch whose bytes are still held.
// - `payload` (owned by the caller, filled), `payload_len`: where they go, and how many they are: the sum of
//   the lengths that were appended and merged.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK`, or the code with `error` filled and `payload` as it was.
//
// # Safety
// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `payload` is null or
// writable for `payload_len` bytes; `error` is null or writable and aligned.
int32_t o2i_batch_copy(const struct o2i_batch *batch,
                       uint8_t *payload,
                       size_t payload_len,
                       struct o2i_error *error);

// Frees a batch, with whatever it holds.
//
// # Arguments
// - `batch` (consumed): a batch that no call is using any more, or null.
//
// # Safety
// `batch` is null or came from `o2i_batch_new`, is not freed yet, and no other call has it.
void o2i_batch_free(struct o2i_batch *batch);

// Stores one payload. `O2I_OK` means that every row is in a committed snapshot, or, with
// `commit.on_failure: accept`, in a stored file whose receipt will be committed.
//
// Any number of threads may call this on one handle at once. It works on the calling thread and on
// the handle's runtime, and returns only when nothing reads `payload` any more.
//
// # Arguments
// - `handle` (borrowed): an open handle.
// - `signal`: one of `O2I_SIGNAL_*`.
// - `payload` (borrowed), `payload_len`: a serialized `Export*ServiceRequest`; several of the same
//   signal may be concatenated, which is their merge.
// - `parts` (borrowed), `parts_len`: the requests in the payload, in order; the number of them. Their
//   lengths add up to `payload_len`.
// - `received_unix_nano`: when the oldest of these requests was received, nanoseconds since 1970; 0 for
//   now. Records without a time of their own get it, so give the same when a request is sent again.
// - `cancel` (borrowed): stops the call before its commit is begun; null for none.
// - `timeout_ms`: how long the call may take before its commit is begun; 0 is no time at all,
//   `UINT64_MAX` is for ever.
// - `outcome` (owned by the caller, filled): what was stored. Not null.
// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
//
// # Returns
// `O2I_OK` with `outcome` filled and `error` zeroed; or the code with `error` filled and `outcome`
// zeroed. When records were rejected by themselves and the rest is stored: `O2I_ERROR_REJECTED`,
// class `O2I_RETRY_CLASS_PARTIAL`, and `outcome` filled too.
//
// # Safety
// `payload` and `parts` are null or readable for their lengths and nobody writes to them during the
// call; `cancel` is null or a token that is not freed during the call; `outcome` and `error` are null
// or writable and aligned.
int32_t o2i_export(const struct o2i_handle *handle,
                   uint32_t signal,
                   const uint8_t *payload,
                   size_t payload_len,
                   const struct o2i_part *parts,
                   size_t parts_len,
                   uint64_t received_unix_nano,
                   const struct o2i_cancel *cancel,
                   uint64_t timeout_ms,
                   struct o2i_outcome *outcome,
                   struct o2i_error *error);

// Stores a batch, as `o2i_export` stores a payload. A batch of which this failed with class
// `O2I_RETRY_CLASS_RETRY` is exported again on the same handle.
//
// The library lets the requests' bytes go as soon as nothing can need them any more, which may be before
// this returns, and before it succeeds; what is left to do is in the batch. It can then no longer be
// appended to, merged or copied.
//
// # Arguments
// - `handle` (borrowed): an open handle; the same one each time.
// - `batch` (borrowed): the requests. No other call may use it at the same time. It stays the caller's to
//   free, whatever the call returns.
// - `received_unix_nano`, `cancel`, `timeout_ms`, `outcome`, `error`: as of `o2i_export`.
//
// # Returns
// As `o2i_export`.
//
// # Safety
// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `cancel` is null or a
// token that is not freed during the call; `outcome` and `error` are null or writable and aligned.
int32_t o2i_batch_export(const struct o2i_handle *handle,
                         const struct o2i_batch *batch,
                         uint64_t received_unix_nano,
                         const struct o2i_cancel *cancel,
                         uint64_t timeout_ms,
                         struct o2i_outcome *outcome,
                         struct o2i_error *error);

// Takes the oldest line of the library's log (of the whole process's Rust `tracing`) that was not taken yet.
//
// From the first call on, lines are kept for the host, 1,024 at most, and no longer written to stderr: a host that begins
// to take them goes on, and takes them once more after its last `o2i_close`. What is beyond that is left out, and
// one line says how many that were.
//
// # Arguments
// - `text` (borrowed, filled), `text_max`: where the line goes, and how many bytes that has room for. A longer line is cut
//   at the end of a character. Null with 0 takes no line: it only begins.
// - `level` (borrowed, filled): where the line's level goes, one of `O2I_LOG_*`; `O2I_LOG_NONE` without a line. Null to
//   drop it.
//
// # Returns
// The length of the line in bytes: UTF-8, no end of line, no control characters. 0 when there is none.
//
// # Safety
// `text` is null or writable for `text_max` bytes; `level` is null or writable and aligned.
size_t o2i_log_take(uint8_t *text,
                    size_t text_max,
                    int32_t *level);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OTLP2ICEBERG_H */
