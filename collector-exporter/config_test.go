// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

func loadConfig(t *testing.T, name string) (*Config, error) {
	t.Helper()
	cfg, err := readConfig(t, name)
	if err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

// readConfig reads a configuration without validating it.
func readConfig(t *testing.T, name string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", name))
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	return cfg, conf.Unmarshal(cfg)
}

func TestEmptyConfigIsValidAndPassesNoSettings(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.New().Unmarshal(cfg))
	assert.Equal(t, createDefaultConfig(), cfg)
	require.NoError(t, confmap.Validate(cfg))

	config, err := cfg.libraryJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{}`, string(config))
}

// Environment variables are also expanded in the lists and mappings of keys whose type is any.
func TestEnvironmentVariablesInListsAndMappings(t *testing.T) {
	t.Setenv("O2I_TENANT", "tenant.id")
	t.Setenv("O2I_FROM", "resource")
	t.Setenv("O2I_TRANSFORM", "identity(Tenant)")
	cfg, err := fromText(t, `tables:
  attribute_columns:
    - attribute: "${env:O2I_TENANT}"
      from: "${env:O2I_FROM}"
      column: Tenant
      tables: [logs, "${env:O2I_TABLE:-traces}"]
    - ${env:O2I_TENANT}
  partition_by: ["day(Timestamp)", "${env:O2I_TRANSFORM}"]
`)
	require.NoError(t, err)

	config, err := cfg.libraryJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{"tables": {
		"attribute_columns": [
			{"attribute": "tenant.id", "from": "resource", "column": "Tenant", "tables": ["logs", "traces"]},
			"tenant.id"
		],
		"partition_by": ["day(Timestamp)", "identity(Tenant)"]
	}}`, string(config))
}

// fromText reads a configuration and expands ${env:…} in it, as the Collector does.
func fromText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"file:" + path},
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory()},
	})
	require.NoError(t, err)
	conf, err := resolver.Resolve(t.Context())
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	return cfg, conf.Unmarshal(cfg)
}

// An empty warehouse would be ./warehouse, which is lost with its container. An empty token would be no token.
func TestEmptyEnvironmentVariableIsReportedWithItsKey(t *testing.T) {
	t.Setenv("O2I_EMPTY", "")
	for _, variable := range []string{"${env:O2I_NOT_SET}", "${env:O2I_EMPTY}", `"${env:O2I_NOT_SET}"`} {
		for _, key := range []string{
			"catalog::type", "catalog::uri", "catalog::warehouse", "catalog::namespace", "catalog::token",
			"catalog::oauth2::client_id", "catalog::oauth2::client_secret", "catalog::headers::X-Key",
			"storage::s3::access_key_id", "tables::properties::owner", "dead_letter::path",
			// The queue would be in memory.
			"sending_queue::storage",
		} {
			_, err := fromText(t, textOf(key, variable))
			require.ErrorContains(t, err, key+": is empty; is an environment variable not set?", variable)
		}
	}
	cfg, err := fromText(t, "catalog: {warehouse: '${env:O2I_NOT_SET:-/var/lib/otel}'}\n"+
		"storage: {s3: {session_token: '${env:O2I_NOT_SET}', endpoint: '${env:O2I_NOT_SET}'}}")
	require.NoError(t, err, "a default instead of the variable, and keys whose default is harmless")
	assert.Equal(t, "/var/lib/otel", *cfg.Catalog.Warehouse)
}

// textOf returns a configuration with one key.
func textOf(key, value string) string {
	text := ""
	for depth, name := range strings.Split(key, "::") {
		text += "\n" + strings.Repeat("  ", depth) + name + ":"
	}
	return text + " " + value
}

// The Collector's decoder reads null as the zero value: no retries, a queue that refuses, batches of any size.
func TestEmptyEnvironmentVariableLeavesTheDefaultOfTheCollectorsOwnKeys(t *testing.T) {
	t.Setenv("O2I_EMPTY", "")
	for _, value := range []string{"${env:O2I_NOT_SET}", "${env:O2I_EMPTY}", `"${env:O2I_NOT_SET}"`, ""} {
		for _, key := range []string{
			"timeout", "retry_on_failure", "retry_on_failure::enabled", "retry_on_failure::initial_interval",
			"retry_on_failure::max_interval", "retry_on_failure::max_elapsed_time", "retry_on_failure::multiplier",
			"retry_on_failure::randomization_factor", "sending_queue", "sending_queue::enabled",
			"sending_queue::sizer", "sending_queue::queue_size", "sending_queue::block_on_overflow",
			"sending_queue::num_consumers", "sending_queue::wait_for_result", "sending_queue::batch",
			"sending_queue::batch::enabled", "sending_queue::batch::sizer", "sending_queue::batch::min_size",
			"sending_queue::batch::max_size", "sending_queue::batch::flush_timeout", "sending_queue::batch::partition",
			"sending_queue::batch::partition::metadata_keys",
		} {
			cfg, err := fromText(t, textOf(key, value))
			require.NoError(t, err, "%s: %s", key, value)
			require.NoError(t, confmap.Validate(cfg), "%s: %s", key, value)
			assert.Equal(t, createDefaultConfig(), cfg, "%s: %s", key, value)
		}
	}
	// What stands beside an empty key is read.
	cfg, err := fromText(t, "sending_queue: {sizer: , queue_size: 1073741824, batch: {sizer: , min_size: 1048576}}")
	require.NoError(t, err)
	assert.EqualValues(t, 1<<30, cfg.QueueConfig.Get().QueueSize)
	assert.EqualValues(t, 1<<20, cfg.QueueConfig.Get().Batch.Get().MinSize)
	assert.Equal(t, exporterhelper.RequestSizerTypeBytes, cfg.QueueConfig.Get().Batch.Get().Sizer)
}

// "" leaves a property out of new tables, which an empty variable must not do.
func TestEmptyPropertyReachesTheLibrary(t *testing.T) {
	cfg, err := fromText(t, `tables: {properties: {write.parquet.compression-codec: ""}}`)
	require.NoError(t, err)
	require.NoError(t, confmap.Validate(cfg))
	config, err := cfg.libraryJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{"tables": {"properties": {"write.parquet.compression-codec": ""}}}`, string(config))
}

// Iceberg's properties are texts. YAML reads many of them as numbers or booleans.
func TestNumbersAndBooleansAsPropertiesReachTheLibraryAsText(t *testing.T) {
	t.Setenv("O2I_LEVEL", "007")
	cfg, err := fromText(t, `tables:
  properties:
    format-version: 3
    gc.enabled: false
    write.parquet.bloom-filter-fpp: 0.05
    history.expire.max-snapshot-age-ms: 432000000000000
    write.parquet.compression-codec: ""
    write.parquet.compression-level: ${env:O2I_LEVEL}
    owner: me
`)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"format-version":                     "3",
		"gc.enabled":                         "false",
		"write.parquet.bloom-filter-fpp":     "0.05",
		"history.expire.max-snapshot-age-ms": "432000000000000",
		"write.parquet.compression-codec":    "",
		"write.parquet.compression-level":    "007",
		"owner":                              "me",
	}, cfg.Tables.Properties)

	// What is refused anyway stays so.
	_, err = fromText(t, "tables: {properties: {format-version: 3, owner: ~}}")
	require.ErrorContains(t, err, "tables::properties::owner: is empty")
	_, err = fromText(t, "tables: {properties: {gc: {enabled: false}, format-version: 3}}")
	require.ErrorContains(t, err, "'tables.properties[gc]' expected type 'string'")
}

// What the decoder says of Go's types is explained, and only that.
func TestOnlyKeysOfTheWrongTypeAreExplained(t *testing.T) {
	t.Setenv("O2I_ACCOUNT", "123456789012")
	_, err := fromText(t, "catalog: {warehouse: '${env:O2I_ACCOUNT}'}\ncommit: {interval: 10}")
	require.ErrorContains(t, err, "\ncommit.interval: write a duration")
	assert.NotContains(t, err.Error(), "catalog.warehouse")
}

func TestDurationFromTheEnvironmentNeedsAUnit(t *testing.T) {
	t.Setenv("O2I_TIMEOUT", "60")
	cfg, err := fromText(t, "timeout: ${env:O2I_TIMEOUT}")
	require.NoError(t, err)
	require.ErrorContains(t, confmap.Validate(cfg),
		"timeout: is 60ns, which nothing can be done in; write a unit, such as 60s")

	t.Setenv("O2I_TIMEOUT", "60s")
	cfg, err = fromText(t, "timeout: ${env:O2I_TIMEOUT}\nsending_queue: {batch: {flush_timeout: 1ms}}")
	require.NoError(t, err)
	require.NoError(t, confmap.Validate(cfg))
	assert.Equal(t, time.Minute, cfg.TimeoutConfig.Timeout)
}

func TestDefaultsNeverGiveUpAndMakeLargeBatches(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	assert.Equal(t, 60*time.Second, cfg.TimeoutConfig.Timeout)
	assert.True(t, cfg.RetryConfig.Enabled)
	assert.Zero(t, cfg.RetryConfig.MaxElapsedTime)
	assert.Equal(t, configoptional.Some(exporterhelper.QueueBatchConfig{
		Sizer:           exporterhelper.RequestSizerTypeBytes,
		QueueSize:       512 << 20,
		BlockOnOverflow: true,
		NumConsumers:    24,
		Batch: configoptional.Some(exporterhelper.BatchConfig{
			FlushTimeout: 10 * time.Second,
			Sizer:        exporterhelper.RequestSizerTypeBytes,
			MinSize:      24 << 20,
			Partition:    helperBatch().Partition,
		}),
	}), cfg.QueueConfig)
}

// helperBatch returns exporterhelper's default of a batch. Since v0.162.0 its Partition is not zero, and zero is refused.
func helperBatch() exporterhelper.BatchConfig {
	queue := exporterhelper.NewDefaultQueueConfig()
	return *queue.Batch.GetOrInsertDefault()
}

func TestEveryKeyIsRead(t *testing.T) {
	cfg, err := loadConfig(t, "config.yaml")
	require.NoError(t, err)

	config, err := cfg.libraryJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"catalog": {
			"type": "sql",
			"uri": "sqlite:///var/lib/otel/catalog.db",
			"warehouse": "file:///var/lib/otel/warehouse",
			"namespace": "prod.otel",
			"name": "main"
		},
		"tables": {
			"names": {"logs": "app_logs", "traces": "app_spans"},
			"auto_create": false,
			"auto_evolve": true,
			"attribute_columns": [
				"http.route",
				{"attribute": "tenant.id", "from": "resource", "column": "Tenant", "type": "long",
					"tables": ["logs", "traces"]}
			],
			"column_case": "lower",
			"partition_by": ["day(Timestamp)", "bucket(16, ServiceName)"],
			"properties": {"write.metadata.delete-after-commit.enabled": "true"}
		},
		"parquet": {
			"compression": "zstd",
			"compression_level": 3,
			"max_row_group_rows": 65536,
			"target_file_size_bytes": 134217728,
			"bloom_filter_columns": []
		},
		"commit": {"interval": "90s", "max_retries": 0, "dedup_snapshots": 1000, "dedup_window": "1h",
			"on_failure": "accept", "receipts_interval": "5m", "expire_snapshots": false},
		"compaction": {"enabled": false, "interval": "5m", "min_files": 8},
		"limits": {"column_bytes_max": 1048576, "batch_bytes_max": 134217728, "payload_bytes_max": 268435456,
			"in_flight_bytes_max": 536870912, "records_per_request_max": 100000, "attributes_max": 128,
			"value_bytes_max": 0, "nesting_max": 16, "partitions_max": 100, "parallel_calls_max": 1},
		"dead_letter": {"path": "/var/lib/otel/dead", "object_bytes_max": 4194304}
	}`, string(config))

	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = time.Second
	retry.MaxElapsedTime = time.Hour
	assert.Equal(t, retry, cfg.RetryConfig)
	assert.Equal(t, 2*time.Minute, cfg.TimeoutConfig.Timeout)
	storage := component.MustNewID("file_storage")
	assert.Equal(t, configoptional.Some(exporterhelper.QueueBatchConfig{
		Sizer:           exporterhelper.RequestSizerTypeBytes,
		QueueSize:       1 << 30,
		BlockOnOverflow: true,
		NumConsumers:    2,
		StorageID:       &storage,
		Batch: configoptional.Some(exporterhelper.BatchConfig{
			FlushTimeout: 30 * time.Second,
			Sizer:        exporterhelper.RequestSizerTypeBytes,
			MinSize:      128 << 20,
			Partition:    helperBatch().Partition,
		}),
	}), cfg.QueueConfig)
}

func TestSecretsReachTheLibrary(t *testing.T) {
	cfg, err := readConfig(t, "secrets.yaml")
	require.NoError(t, err)

	config, err := cfg.libraryJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"catalog": {
			"type": "rest",
			"uri": "https://polaris.example/api/catalog",
			"warehouse": "prod",
			"default_location": "s3://lake/otel",
			"namespace": "prod.otel",
			"name": "main",
			"token": "hush-token",
			"oauth2": {
				"client_id": "collector",
				"client_secret": "hush-client-secret",
				"token_uri": "https://idp.example/token",
				"scope": "PRINCIPAL_ROLE:ALL",
				"audience": "https://lake.example",
				"resource": "urn:lake"
			},
			"sigv4": {"region": "eu-west-1", "service": "execute-api"},
			"s3tables_api": "rest",
			"headers": {"X-Api-Key": "hush-header", "Polaris-Realm": "hush-realm"},
			"vended_credentials": false,
			"timeout": "20s"
		},
		"storage": {"s3": {
			"region": "eu-west-1",
			"endpoint": "http://minio:9000",
			"path_style": true,
			"access_key_id": "AKIDEXAMPLE",
			"secret_access_key": "hush-secret-access-key",
			"session_token": "hush-session-token"
		}},
		"tables": {"auto_create": false}
	}`, string(config))
}

func TestRESTCatalogOnS3IsAccepted(t *testing.T) {
	_, err := loadConfig(t, "rest_s3.yaml")
	assert.NoError(t, err)
}

// TestSecretsFileSetsEveryKeyOfCatalogAndStorage makes the tests around it complete. A new secret that libraryJSON
// does not write out would reach the library as [REDACTED].
func TestSecretsFileSetsEveryKeyOfCatalogAndStorage(t *testing.T) {
	cfg, err := readConfig(t, "secrets.yaml")
	require.NoError(t, err)
	for _, section := range []any{
		cfg.Catalog, *cfg.Catalog.OAuth2, *cfg.Catalog.SigV4, cfg.Storage, cfg.Storage.S3,
	} {
		fields := reflect.ValueOf(section)
		for i := range fields.NumField() {
			assert.False(t, fields.Field(i).IsZero(), "%T.%s", section, fields.Type().Field(i).Name)
		}
	}
}

func TestSecretsAreRedactedElsewhere(t *testing.T) {
	cfg, err := readConfig(t, "secrets.yaml")
	require.NoError(t, err)

	plain, err := json.Marshal(cfg)
	require.NoError(t, err)
	conf := confmap.New()
	require.NoError(t, conf.Marshal(cfg))
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	logged, err := encoder.EncodeEntry(zapcore.Entry{}, []zapcore.Field{
		zap.Any("config", cfg), zap.Any("catalog", cfg.Catalog), zap.Any("oauth2", cfg.Catalog.OAuth2),
		zap.Any("headers", cfg.Catalog.Headers), zap.Any("s3", cfg.Storage.S3), zap.Any("token", cfg.Catalog.Token),
	})
	require.NoError(t, err)
	shown := map[string]string{
		"JSON":    string(plain),
		"confmap": fmt.Sprint(conf.ToStringMap()),
		"zap":     logged.String(),
	}
	for _, section := range []any{cfg, *cfg, cfg.Catalog, *cfg.Catalog.OAuth2, cfg.Storage, *cfg.Catalog.Token} {
		shown[fmt.Sprintf("fmt of %T", section)] = fmt.Sprintf("%v %+v %#v %s", section, section, section, section)
	}
	for how, text := range shown {
		assert.NotContains(t, text, "hush", how)
	}
	for _, how := range []string{"JSON", "confmap", "zap"} {
		assert.Contains(t, shown[how], "[REDACTED]", how)
		assert.Contains(t, shown[how], "polaris.example", how)
	}
}

func TestEmptySectionsInLibraryJSON(t *testing.T) {
	for name, test := range map[string]struct{ section, want string }{
		"sigv4 asks for signing": {"catalog: {sigv4: {}}", `{"catalog": {"sigv4": {}}}`},
		"storage":                {"storage: {s3: {}}", `{}`},
		"null": {
			"catalog: {timeout: , oauth2: , sigv4: , headers: }\nstorage: {s3: }\ndead_letter:\ntables:", `{}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(test.section))
			require.NoError(t, err)
			conf, err := retrieved.AsConf()
			require.NoError(t, err)
			cfg := createDefaultConfig().(*Config)
			require.NoError(t, conf.Unmarshal(cfg))

			config, err := cfg.libraryJSON()
			require.NoError(t, err)
			assert.JSONEq(t, test.want, string(config))
		})
	}
}

func TestSecretOfTheWrongTypeIsRefusedWithoutItsValue(t *testing.T) {
	for _, section := range []string{
		"catalog: {token: 4711}",
		"catalog: {token: {hush: 4711}}",
		"catalog: {oauth2: 4711}",
		"catalog: {oauth2: collector:4711}",
		"catalog: {oauth2: {client_secret: 4711}}",
		"catalog: {headers: {X-Api-Key: 4711}}",
		"catalog: {headers: [4711]}",
		"storage: {s3: {secret_access_key: 4711}}",
		"storage: {s3: {session_token: [4711]}}",
	} {
		t.Run(section, func(t *testing.T) {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(section))
			require.NoError(t, err)
			conf, err := retrieved.AsConf()
			require.NoError(t, err)
			err = conf.Unmarshal(createDefaultConfig())
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "4711")
		})
	}
}

// badConfigs has the parts that the error of each bad file must contain.
var badConfigs = map[string][]string{
	"bad_unknown_section.yaml": {"invalid keys: catlog"},
	"bad_unknown_key.yaml":     {"'tables' has invalid keys: partition_on"},
	"bad_catalog_type.yaml": {
		"catalog.type: unknown variant `mysql`, expected one of `none`, `sql`, `rest`, `glue`, `s3tables`",
	},
	"bad_catalog_uri.yaml":       {"catalog.uri:", "sqlite://"},
	"bad_catalog_warehouse.yaml": {"catalog.warehouse:", `scheme "gs" is not supported`},
	"bad_catalog_namespace.yaml": {"catalog.namespace:", "empty level"},
	"bad_table_names.yaml":       {"tables.names.log: there is no such table; known are logs"},
	"bad_attribute_column_clash.yaml": {
		"tables.attribute_columns[1].column: table metrics_gauge has a column ServiceName already", "another name",
	},
	"bad_attribute_column_key.yaml": {
		"tables.attribute_columns[0].name: unknown field `name`, expected one of `attribute`",
	},
	"bad_attribute_column_type.yaml": {
		"tables.attribute_columns[0].type: unknown variant `int`, expected one of `string`, `long`",
	},
	"bad_table_properties.yaml": {
		`tables.properties.format-version: "4" is no format version`, "tables.properties.uuid: is reserved by Iceberg",
	},
	"bad_column_case.yaml":       {"tables.column_case: unknown variant `upper`"},
	"bad_partition_by.yaml":      {"accepted are hour, day, month, none"},
	"bad_partition_column.yaml":  {"tables.partition_by:", `no column "When"`},
	"bad_compression_level.yaml": {"parquet.compression_level: 40 is no zstd level; give 1 to 22"},
	"bad_commit_interval.yaml":   {`"ten" is no duration`, "such as 10s"},
	"bad_commit_interval_unit.yaml": {
		"'commit.interval' expected type 'string'", "commit.interval: write a duration with a unit, such as 10s",
	},
	"bad_value_types.yaml": {
		"parquet.target_file_size_bytes: write a number of bytes without a unit, such as 536870912",
		"parquet.compression_level: write a whole number",
		"catalog.warehouse: write a text; one that looks like a number or a boolean needs quotes",
		"catalog.timeout: write a duration with a unit, such as 10s",
		"catalog.headers: write each value in quotes",
		"tables.names: write each value in quotes",
		"compaction.enabled: write true or false",
	},
	"bad_dedup_snapshots.yaml":      {"commit.dedup_snapshots: must be at least 1 snapshot"},
	"bad_dedup_window.yaml":         {"commit.dedup_window:", `"half an hour" is no duration`},
	"bad_on_failure.yaml":           {"commit.on_failure:", "expected `retry` or `accept`"},
	"bad_on_failure_s3tables.yaml":  {"commit.on_failure: accept does not go with S3 Tables", "give retry"},
	"bad_compaction_interval.yaml":  {"compaction.interval: must be at least 1s"},
	"bad_compaction_min_files.yaml": {"compaction.min_files: must be at least 2 files"},
	"bad_receipts_interval.yaml":    {"commit.receipts_interval: must be at least 1s"},
	"bad_column_bytes_max.yaml":     {"limits.column_bytes_max: must be from 65536 to 2147483647 bytes"},
	"bad_payload_bytes_max.yaml":    {"limits.payload_bytes_max: must be at least 1 byte"},
	"bad_batch_bytes_max.yaml":      {"limits.batch_bytes_max: must be at least 1048576 bytes (1 MiB)"},
	"bad_partitions_max.yaml":       {"limits.partitions_max: must be at least 1 partition"},
	"bad_nesting_max.yaml":          {"limits.nesting_max: must be from 1 to 64 levels"},
	"bad_in_flight_bytes_max.yaml": {
		"limits.in_flight_bytes_max: must be at least 1048576 bytes (1 MiB), or 0 for no limit",
	},
	"bad_records_per_request_max.yaml":      {"limits.records_per_request_max: invalid value: integer `-1`"},
	"bad_dead_letter_path.yaml":             {`dead_letter.path: "gs://bucket" is no place for files`},
	"bad_dead_letter_object_bytes_max.yaml": {"dead_letter.object_bytes_max: must be at least 1024 bytes (1 KiB)"},
	"bad_parallel_calls_max.yaml":           {"limits.parallel_calls_max: must be at least 1 call"},
	"bad_target_file_size.yaml":             {"parquet.target_file_size_bytes: must be at least 1048576 bytes (1 MiB)"},
	"bad_bloom_filter_columns.yaml":         {`parquet.bloom_filter_columns: no table has a column "Trace_ID"`},
	"bad_catalog_name.yaml":                 {"catalog.name: must not be empty"},
	"bad_table_name_slash.yaml":             {`tables.names.logs: "app/logs" cannot name a table`},
	"bad_table_name_dots.yaml":              {`tables.names.logs: ".." cannot name a table`},
	"bad_timeout.yaml":                      {"timeout: must be above 0"},
	"bad_empty_keys.yaml": {
		"catalog::headers::X-Api-Key: is empty; is an environment variable not set?",
		"catalog::oauth2::client_secret: is empty", "catalog::token: is empty", "catalog::uri: is empty",
		"catalog::warehouse: is empty", "dead_letter::path: is empty", "storage::s3::secret_access_key: is empty",
	},
	"bad_times_without_unit.yaml": {
		"timeout: is 60ns, which nothing can be done in; write a unit, such as 60s",
		"retry_on_failure::initial_interval: is 5ns", "retry_on_failure::max_interval: is 30ns",
		"retry_on_failure::max_elapsed_time: is 600ns", "sending_queue::batch::flush_timeout: is 10ns",
	},
	"bad_queue_size.yaml": {"sending_queue: `queue_size` must be positive"},
	"bad_queue_size_without_unit.yaml": {
		"sending_queue::queue_size: is needed with sending_queue::sizer: items, in items; its default is in bytes",
		"sending_queue::batch::min_size: is needed with sending_queue::batch::sizer: items, in items",
	},
	"bad_queue_sizer_requests.yaml": {
		"sending_queue::queue_size: is needed with sending_queue::sizer: requests, in requests",
	},
	"bad_queue_size_requests.yaml": {
		"sending_queue::queue_size: is 5000 bytes, less than one batch (min_size, 25165824); its unit here is bytes. " +
			"Set sizer: requests to count requests",
	},
	"bad_batch_sizer_of_requests.yaml": {
		"sending_queue::batch::sizer: is needed with sending_queue::sizer: requests and a min_size",
	},
	"bad_batch_sizer.yaml":                   {"sending_queue: batch: `batch` supports only `items` or `bytes` sizer"},
	"bad_batch_max_size.yaml":                {"sending_queue::batch::max_size: must be 0; a request is never split"},
	"bad_batch_metadata_keys.yaml":           {"sending_queue::batch::partition::metadata_keys: is not supported"},
	"bad_storage_without_retries.yaml":       {"sending_queue::storage: needs retry_on_failure::enabled: true"},
	"bad_catalog_rest_without_uri.yaml":      {"catalog.uri: type rest needs the catalog's base URI"},
	"bad_catalog_two_ways.yaml":              {"catalog: only one of token, oauth2 can be used"},
	"bad_catalog_oauth2_without_secret.yaml": {"catalog.oauth2: missing field `client_secret`"},
	"bad_catalog_s3tables_no_arn.yaml":       {"catalog.warehouse:", `"my-bucket" is no table bucket's ARN`},
	"bad_catalog_default_location.yaml":      {`catalog.default_location: "./warehouse" is no place on S3`},
	"bad_catalog_s3tables_namespace.yaml": {
		`catalog.namespace: "prod.otel" cannot be a name in S3 Tables`, "lower-case",
	},
	"bad_catalog_s3tables_table_name.yaml": {`tables.names.logs: "App-Logs" cannot be a name in S3 Tables`},
	"bad_catalog_s3tables_vended.yaml":     {"catalog.vended_credentials: has no meaning here", "storage.s3"},
	"bad_storage_s3_half_credentials.yaml": {"storage.s3.secret_access_key: is needed with storage.s3.access_key_id"},
	"bad_several.yaml": {
		"catalog.warehouse:", "parquet.compression_level:", "timeout:",
		"`num_consumers` must be positive", "sending_queue::batch::max_size:",
	},
}

func TestBadConfigsAreRefused(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "bad_*.yaml"))
	require.NoError(t, err)
	assert.Len(t, files, len(badConfigs), "every bad file is named in badConfigs")

	for name, parts := range badConfigs {
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			_, err := loadConfig(t, name)
			require.Error(t, err)
			for _, part := range parts {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

func TestConfiguredSizesInOtherUnitsAreAccepted(t *testing.T) {
	for _, section := range []string{
		"sending_queue: {sizer: requests, queue_size: 1000}",
		"sending_queue: {sizer: items, queue_size: 1000000, batch: {flush_timeout: 5s, min_size: 50000}}",
		"sending_queue: {batch: {sizer: items, min_size: 50000}}",
		"sending_queue: {sizer: bytes}",
		"sending_queue: {enabled: false}",
	} {
		t.Run(section, func(t *testing.T) {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(section))
			require.NoError(t, err)
			conf, err := retrieved.AsConf()
			require.NoError(t, err)
			cfg := createDefaultConfig().(*Config)
			require.NoError(t, conf.Unmarshal(cfg))
			assert.NoError(t, confmap.Validate(cfg))
		})
	}
}

func TestBatchStaysInBytesWhereTheQueueCountsRequests(t *testing.T) {
	cfg, err := fromText(t, "sending_queue: {sizer: requests, queue_size: 5000, batch: {flush_timeout: 1s}}")
	require.NoError(t, err)
	require.NoError(t, confmap.Validate(cfg))
	queue := cfg.QueueConfig.Get()
	assert.Equal(t, exporterhelper.RequestSizerTypeRequests, queue.Sizer)
	assert.EqualValues(t, 5000, queue.QueueSize)
	assert.Equal(t, exporterhelper.BatchConfig{
		FlushTimeout: time.Second,
		Sizer:        exporterhelper.RequestSizerTypeBytes,
		MinSize:      24 << 20,
		Partition:    helperBatch().Partition,
	}, *queue.Batch.Get())
}

func TestQueueRulesAreSkippedWithoutAQueue(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	cfg.RetryConfig.Enabled = false
	assert.NoError(t, confmap.Validate(cfg))
}

func TestNoTestLeavesAWarehouseInTheSourceTree(t *testing.T) {
	_, err := os.Stat("warehouse")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
