/* Uses the library as a C host does, from the header alone: opens it on the warehouse named by the
 * one argument, stores a request, repeats it, goes through the ways in which calls fail, and closes
 * it while threads are exporting. run.sh builds this with AddressSanitizer, which also reports what
 * is left allocated at exit, on either side of the boundary, but for what lsan.supp names. */

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp2iceberg.h"

_Static_assert(sizeof(o2i_part) == 32, "o2i_part has padding");
_Static_assert(sizeof(o2i_outcome) == 40 * 8, "o2i_outcome has padding");
_Static_assert(offsetof(o2i_error, message) == 16, "o2i_error is laid out otherwise");

#define EXPORTING_THREADS 4
#define FOR_EVER UINT64_MAX

/* An ExportLogsServiceRequest: service.name "smoke", two records, INFO "hello" and WARN "world". */
static const char LOGS[] =
    "\x0a\x51"                                                                 /* resource_logs */
    "\x0a\x19\x0a\x17\x0a\x0c" "service.name" "\x12\x07\x0a\x05" "smoke"       /* resource */
    "\x12\x34"                                                                 /* scope_logs */
    "\x12\x18"                                                                 /* log_records */
    "\x09\x00\x32\x96\x1c\xf2\xca\x86\x18"                                     /* time_unix_nano */
    "\x1a\x04" "INFO"                                                          /* severity_text */
    "\x2a\x07\x0a\x05" "hello"                                                 /* body */
    "\x12\x18"                                                                 /* log_records */
    "\x09\x01\x32\x96\x1c\xf2\xca\x86\x18" "\x1a\x04" "WARN" "\x2a\x07\x0a\x05" "world";
#define LOGS_LEN (sizeof LOGS - 1)

static atomic_int checks;

#define CHECK(condition)                                                                \
    do {                                                                                \
        checks++;                                                                       \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

/* Checks a call that must succeed, and tells the error when it did not. */
#define CHECK_OK(call, error)                                                           \
    do {                                                                                \
        int32_t code_ = (call);                                                         \
        if (code_ != O2I_OK) {                                                          \
            fprintf(stderr, "%s:%d: %s: error %" PRId32 ": %.*s\n", __FILE__, __LINE__, \
                    #call, code_, (int)(error)->message_len,                            \
                    (const char *)(error)->message);                                    \
            exit(1);                                                                    \
        }                                                                               \
        CHECK((error)->code == O2I_OK && (error)->message == NULL);                     \
    } while (0)

static int contains(const o2i_error *error, const char *text) {
    size_t text_len = strlen(text);
    for (size_t at = 0; at + text_len <= error->message_len; at++) {
        if (memcmp(error->message + at, text, text_len) == 0) {
            return 1;
        }
    }
    return 0;
}

static o2i_part part(uint64_t sequence, uint64_t len) {
    o2i_part made = {.writer = "smoke", .sequence = sequence, .len = len};
    return made;
}

static int32_t export_logs(const o2i_handle *handle, uint64_t sequence, const o2i_cancel *cancel,
                           o2i_outcome *outcome, o2i_error *error) {
    o2i_part whole = part(sequence, LOGS_LEN);
    return o2i_export(handle, O2I_SIGNAL_LOGS, (const uint8_t *)LOGS, LOGS_LEN, &whole, 1, 0, cancel,
                      FOR_EVER, outcome, error);
}

static o2i_handle *open_at(const char *warehouse) {
    char config[4096];
    int len = snprintf(config, sizeof config, "{\"catalog\": {\"warehouse\": \"%s\"}}", warehouse);
    CHECK(len > 0 && (size_t)len < sizeof config);
    o2i_handle *handle = NULL;
    o2i_error error;
    int32_t level = -1;
    uint8_t line[8];
    CHECK(o2i_log_take(NULL, 0, &level) == 0 && level == O2I_LOG_NONE);
    CHECK_OK(o2i_open((const uint8_t *)config, (size_t)len, &handle, &error), &error);
    CHECK(o2i_log_take(line, sizeof line, NULL) <= sizeof line);
    CHECK(handle != NULL);
    return handle;
}

static void check_abi(void) {
    CHECK(o2i_abi_version() == O2I_ABI_VERSION);
    CHECK(o2i_abi_layout() == ((uint64_t)sizeof(o2i_part) | (uint64_t)sizeof(o2i_outcome) << 16 |
                               (uint64_t)sizeof(o2i_error) << 32));
    CHECK(strlen(o2i_version()) > 0);
}

static void check_config(void) {
    static const char wrong[] =
        "{\"parquet\": {\"compression_level\": 99}, \"catalog\": {\"namespace\": \"\"}}";
    o2i_error error;
    CHECK_OK(o2i_config_check((const uint8_t *)"{}", 2, &error), &error);
    CHECK(o2i_config_check((const uint8_t *)wrong, sizeof wrong - 1, &error) == O2I_ERROR_CONFIG);
    CHECK(error.retry_class == O2I_RETRY_CLASS_PERMANENT);
    CHECK(contains(&error, "parquet.compression_level"));
    CHECK(contains(&error, "catalog.namespace"));
    o2i_error_free(&error);
    CHECK(error.message == NULL && error.message_len == 0 && error.code == O2I_OK);
    o2i_error_free(&error);
    o2i_error_free(NULL);

    o2i_handle *handle = (o2i_handle *)&error;
    CHECK(o2i_open((const uint8_t *)wrong, sizeof wrong - 1, &handle, NULL) == O2I_ERROR_CONFIG);
    CHECK(handle == NULL);
    CHECK(o2i_open(NULL, 7, &handle, &error) == O2I_ERROR_INVALID_ARGUMENT);
    o2i_error_free(&error);
}

static void check_storing(const o2i_handle *handle) {
    o2i_outcome outcome;
    o2i_error error;
    CHECK_OK(export_logs(handle, 1, NULL, &outcome, &error), &error);
    CHECK(outcome.rows == 2 && outcome.rejected == 0);
    CHECK(outcome.files == 1 && outcome.file_bytes > 0);
    CHECK(outcome.commits == 1 && outcome.commit_attempts == 1);
    CHECK(outcome.already_committed == 0);

    CHECK_OK(export_logs(handle, 1, NULL, &outcome, &error), &error);
    CHECK(outcome.rows == 0 && outcome.files == 0 && outcome.commits == 0);
    CHECK(outcome.already_committed == 1);
}

/* A batch from two, each from a block of just its size that is freed before the export. */
static void check_batch(const o2i_handle *handle) {
    o2i_batch *batches[2];
    o2i_outcome outcome;
    o2i_error error;
    for (uint64_t i = 0; i < 2; i++) {
        uint8_t *payload = malloc(LOGS_LEN);
        CHECK(payload != NULL);
        memcpy(payload, LOGS, LOGS_LEN);
        o2i_part whole = part(10 + i, LOGS_LEN);
        CHECK_OK(o2i_batch_new(O2I_SIGNAL_LOGS, &batches[i], &error), &error);
        CHECK_OK(o2i_batch_append(batches[i], payload, LOGS_LEN, &whole, 1, &error), &error);
        free(payload);
    }
    CHECK_OK(o2i_batch_merge(batches[0], batches[1], &error), &error);
    o2i_batch_free(batches[1]);
    uint8_t *copied = malloc(2 * LOGS_LEN);
    CHECK(copied != NULL);
    CHECK_OK(o2i_batch_copy(batches[0], copied, 2 * LOGS_LEN, &error), &error);
    CHECK(memcmp(copied, LOGS, LOGS_LEN) == 0 && memcmp(copied + LOGS_LEN, LOGS, LOGS_LEN) == 0);

    CHECK_OK(o2i_batch_export(handle, batches[0], 0, NULL, FOR_EVER, &outcome, &error), &error);
    CHECK(outcome.rows == 4 && outcome.commits == 1);
    CHECK(o2i_batch_copy(batches[0], copied, 2 * LOGS_LEN, &error) == O2I_ERROR_INVALID_ARGUMENT);
    o2i_error_free(&error);
    free(copied);
    o2i_batch_free(batches[0]);

    /* One that is never exported, and none at all. */
    CHECK_OK(o2i_batch_new(O2I_SIGNAL_TRACES, &batches[0], &error), &error);
    o2i_batch_set_redelivered(batches[0]);
    o2i_batch_free(batches[0]);
    o2i_batch_free(NULL);
}

static void check_failing(const o2i_handle *handle) {
    const uint8_t *payload = (const uint8_t *)LOGS;
    o2i_part whole = part(2, LOGS_LEN);
    o2i_part longer = part(2, LOGS_LEN + 1);
    o2i_outcome outcome;
    o2i_error error;

    CHECK(o2i_export(handle, 9, payload, LOGS_LEN, &whole, 1, 0, NULL, FOR_EVER, &outcome, &error) ==
          O2I_ERROR_INVALID_ARGUMENT);
    CHECK(contains(&error, "signal"));
    o2i_error_free(&error);

    CHECK(o2i_export(handle, O2I_SIGNAL_LOGS, payload, LOGS_LEN, &longer, 1, 0, NULL, FOR_EVER,
                     &outcome, &error) == O2I_ERROR_INVALID_ARGUMENT);
    CHECK(contains(&error, "parts"));
    o2i_error_free(&error);

    CHECK(o2i_export(handle, O2I_SIGNAL_LOGS, NULL, LOGS_LEN, &whole, 1, 0, NULL, FOR_EVER, &outcome,
                     &error) == O2I_ERROR_INVALID_ARGUMENT);
    o2i_error_free(&error);

    CHECK(o2i_export(handle, O2I_SIGNAL_LOGS, payload, LOGS_LEN, &whole, 1, 0, NULL, FOR_EVER, NULL,
                     &error) == O2I_ERROR_INVALID_ARGUMENT);
    o2i_error_free(&error);

    CHECK(o2i_export(NULL, O2I_SIGNAL_LOGS, payload, LOGS_LEN, &whole, 1, 0, NULL, FOR_EVER, &outcome,
                     &error) == O2I_ERROR_INVALID_ARGUMENT);
    o2i_error_free(&error);

    /* One byte is cut off, in a block of just that size: reading beyond it would be seen. */
    uint8_t *cut = malloc(LOGS_LEN - 1);
    CHECK(cut != NULL);
    memcpy(cut, LOGS, LOGS_LEN - 1);
    o2i_part shorter = part(2, LOGS_LEN - 1);
    CHECK(o2i_export(handle, O2I_SIGNAL_LOGS, cut, LOGS_LEN - 1, &shorter, 1, 0, NULL, FOR_EVER,
                     &outcome, &error) == O2I_ERROR_DECODE);
    CHECK(error.retry_class == O2I_RETRY_CLASS_PERMANENT);
    CHECK(outcome.rows == 0);
    o2i_error_free(&error);
    free(cut);

    o2i_cancel *cancel = o2i_cancel_new();
    CHECK(cancel != NULL);
    o2i_cancel_trigger(cancel);
    CHECK(export_logs(handle, 2, cancel, &outcome, &error) == O2I_ERROR_CANCELLED);
    CHECK(error.retry_class == O2I_RETRY_CLASS_RETRY);
    o2i_error_free(&error);
    o2i_cancel_free(cancel);
    o2i_cancel_free(NULL);
    o2i_cancel_trigger(NULL);
}

struct exporter {
    pthread_t thread;
    const o2i_handle *handle;
    uint64_t first_sequence;
    uint64_t stored;
};

/* Exports until it is refused. */
static void *export_until_shutdown(void *argument) {
    struct exporter *exporter = argument;
    for (;;) {
        o2i_outcome outcome;
        o2i_error error;
        int32_t code = export_logs(exporter->handle, exporter->first_sequence + exporter->stored,
                                   NULL, &outcome, &error);
        if (code != O2I_OK) {
            CHECK(code == O2I_ERROR_SHUTDOWN);
            CHECK(error.retry_class == O2I_RETRY_CLASS_SHUTDOWN);
            o2i_error_free(&error);
            return NULL;
        }
        CHECK(outcome.rows == 2);
        exporter->stored++;
    }
}

/* Closes the handle while threads use it; what they stored must be found again. */
static void check_closing(o2i_handle *handle, const char *warehouse) {
    struct exporter exporters[EXPORTING_THREADS];
    o2i_outcome outcome;
    o2i_error error;
    for (uint64_t i = 0; i < EXPORTING_THREADS; i++) {
        exporters[i] = (struct exporter){.handle = handle, .first_sequence = (i + 1) << 32};
        CHECK(pthread_create(&exporters[i].thread, NULL, export_until_shutdown, &exporters[i]) == 0);
    }
    for (uint64_t sequence = 100; sequence < 103; sequence++) {
        CHECK_OK(export_logs(handle, sequence, NULL, &outcome, &error), &error);
    }
    CHECK_OK(o2i_begin_shutdown(handle, &error), &error);
    CHECK_OK(o2i_close(handle, FOR_EVER, &error), &error);

    uint64_t stored = 0;
    handle = NULL;
    for (size_t i = 0; i < EXPORTING_THREADS; i++) {
        CHECK(pthread_join(exporters[i].thread, NULL) == 0);
    }
    handle = open_at(warehouse);
    for (size_t i = 0; i < EXPORTING_THREADS; i++) {
        for (uint64_t n = 0; n < exporters[i].stored; n++) {
            CHECK_OK(export_logs(handle, exporters[i].first_sequence + n, NULL, &outcome, &error),
                     &error);
            CHECK(outcome.already_committed == 1);
            stored++;
        }
    }
    CHECK_OK(o2i_close(handle, FOR_EVER, &error), &error);
    printf("closed with %d threads exporting; %" PRIu64 " of their requests stored and found again\n",
           EXPORTING_THREADS, stored);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s <warehouse directory>\n", argv[0]);
        return 2;
    }
    check_abi();
    check_config();
    o2i_handle *handle = open_at(argv[1]);
    check_storing(handle);
    check_batch(handle);
    check_failing(handle);
    check_closing(handle, argv[1]);
    printf("otlp2iceberg %s: %d checks passed\n", o2i_version(), atomic_load(&checks));
    return 0;
}
