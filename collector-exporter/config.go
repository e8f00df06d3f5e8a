// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// Config is the exporter's configuration. An empty one works: it writes to ./warehouse.
//
// The first five sections are the library's. It alone knows their defaults and rules, so only what was
// set is handed over, and a nil means "the library's default". docs/configuration.md describes them.
type Config struct {
	// Catalog says where tables are kept track of.
	Catalog CatalogConfig `mapstructure:"catalog" json:"catalog,omitzero"`
	// Tables says how tables are named, made and changed.
	Tables TablesConfig `mapstructure:"tables" json:"tables,omitzero"`
	// Parquet says how files are written.
	Parquet ParquetConfig `mapstructure:"parquet" json:"parquet,omitzero"`
	// Commit says how files get into tables.
	Commit CommitConfig `mapstructure:"commit" json:"commit,omitzero"`
	// Limits bound what one request may cost.
	Limits LimitsConfig `mapstructure:"limits" json:"limits,omitzero"`

	// TimeoutConfig bounds one attempt to store a batch.
	TimeoutConfig exporterhelper.TimeoutConfig `mapstructure:",squash" json:"-"`
	// RetryConfig says how a batch that could not be stored is tried again.
	RetryConfig configretry.BackOffConfig `mapstructure:"retry_on_failure" json:"-"`
	// QueueConfig says how requests are queued and merged into batches.
	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue" json:"-"`
}

// CatalogConfig is the section catalog.
type CatalogConfig struct {
	// Type is the kind of catalog: sql.
	Type *string `mapstructure:"type" json:"type,omitempty"`
	// URI of the catalog, such as sqlite://./warehouse/catalog.db.
	URI *string `mapstructure:"uri" json:"uri,omitempty"`
	// Warehouse is a directory or a file:// URL.
	Warehouse *string `mapstructure:"warehouse" json:"warehouse,omitempty"`
	// Namespace of the tables, levels separated by dots.
	Namespace *string `mapstructure:"namespace" json:"namespace,omitempty"`
	// Name of the catalog inside a SQL catalog.
	Name *string `mapstructure:"name" json:"name,omitempty"`
}

// TablesConfig is the section tables.
type TablesConfig struct {
	// Names of tables, by their default name.
	Names map[string]string `mapstructure:"names" json:"names,omitempty"`
	// AutoCreate says whether a missing table is made.
	AutoCreate *bool `mapstructure:"auto_create" json:"auto_create,omitempty"`
	// AutoEvolve says whether our missing columns are added to a table.
	AutoEvolve *bool `mapstructure:"auto_evolve" json:"auto_evolve,omitempty"`
	// PartitionBy is a word (hour, day, month, none) or a list of transforms.
	PartitionBy any `mapstructure:"partition_by" json:"partition_by,omitempty"`
	// Properties that a table gets when it is made.
	Properties map[string]string `mapstructure:"properties" json:"properties,omitempty"`
}

// ParquetConfig is the section parquet.
type ParquetConfig struct {
	// Compression is the codec: zstd or none.
	Compression *string `mapstructure:"compression" json:"compression,omitempty"`
	// CompressionLevel is the codec's level.
	CompressionLevel *int `mapstructure:"compression_level" json:"compression_level,omitempty"`
	// MaxRowGroupRows bounds a row group.
	MaxRowGroupRows *int64 `mapstructure:"max_row_group_rows" json:"max_row_group_rows,omitempty"`
	// TargetFileSizeBytes is where a file is closed.
	TargetFileSizeBytes *int64 `mapstructure:"target_file_size_bytes" json:"target_file_size_bytes,omitempty"`
	// BloomFilterColumns are the columns with a bloom filter. An empty list means none.
	BloomFilterColumns *[]string `mapstructure:"bloom_filter_columns" json:"bloom_filter_columns,omitempty"`
}

// CommitConfig is the section commit.
type CommitConfig struct {
	// Interval is the least time between two commits of a table, as Go writes it: 1m30s.
	Interval *string `mapstructure:"interval" json:"interval,omitempty"`
	// MaxRetries bounds how often a commit that lost a race is tried again.
	MaxRetries *int `mapstructure:"max_retries" json:"max_retries,omitempty"`
}

// LimitsConfig is the section limits.
type LimitsConfig struct {
	// ColumnBytesMax bounds a string column of a batch in memory.
	ColumnBytesMax *int64 `mapstructure:"column_bytes_max" json:"column_bytes_max,omitempty"`
	// BatchBytesMax bounds the rows of a call in memory.
	BatchBytesMax *int64 `mapstructure:"batch_bytes_max" json:"batch_bytes_max,omitempty"`
	// PayloadBytesMax bounds a merged batch.
	PayloadBytesMax *int64 `mapstructure:"payload_bytes_max" json:"payload_bytes_max,omitempty"`
	// PartitionsMax bounds the partition values that a batch may open files for.
	PartitionsMax *int64 `mapstructure:"partitions_max" json:"partitions_max,omitempty"`
	// ParallelCallsMax bounds the calls that hold rows in memory at the same time.
	ParallelCallsMax *int64 `mapstructure:"parallel_calls_max" json:"parallel_calls_max,omitempty"`
}

var (
	_ component.Config  = (*Config)(nil)
	_ confmap.Validator = (*Config)(nil)
)

// Validate reports every problem at once, each with its key.
func (cfg *Config) Validate() error {
	return errors.Join(cfg.validateLibrary(), cfg.validateQueue())
}

// validateLibrary lets the library check its own sections.
func (cfg *Config) validateLibrary() error {
	config, err := cfg.libraryJSON()
	if err != nil {
		return err
	}
	return native.CheckConfig(config)
}

// validateQueue checks what exporterhelper allows and this exporter cannot do.
func (cfg *Config) validateQueue() error {
	var problems []error
	if cfg.TimeoutConfig.Timeout == 0 {
		problems = append(problems, errors.New("timeout: must be above 0, or a catalog that hangs would hold a batch for ever"))
	}
	if !cfg.QueueConfig.HasValue() {
		return errors.Join(problems...)
	}
	queue := cfg.QueueConfig.Get()
	if queue.StorageID != nil && !cfg.RetryConfig.Enabled {
		problems = append(problems, errors.New(
			"sending_queue::storage: needs retry_on_failure::enabled: true; without retries one failure, or a shutdown at the wrong moment, deletes what was stored"))
	}
	if !queue.Batch.HasValue() {
		return errors.Join(problems...)
	}
	batch := queue.Batch.Get()
	if batch.MaxSize != 0 {
		problems = append(problems, errors.New(
			"sending_queue::batch::max_size: must be 0; a request is never split, because its id must stay with all its rows, and the library cuts files by parquet.target_file_size_bytes"))
	}
	if len(batch.Partition.MetadataKeys) > 0 {
		problems = append(problems, errors.New(
			"sending_queue::batch::partition::metadata_keys: is not supported; no column holds client metadata, and tables are partitioned by tables.partition_by"))
	}
	if limit := cfg.Limits.PayloadBytesMax; limit != nil && batch.Sizer == exporterhelper.RequestSizerTypeBytes && batch.MinSize > *limit {
		problems = append(problems, fmt.Errorf(
			"sending_queue::batch::min_size: %d bytes is more than limits.payload_bytes_max allows (%d)", batch.MinSize, *limit))
	}
	return errors.Join(problems...)
}

// libraryJSON gives the library's sections as it reads them, with nothing in them that was not set.
func (cfg *Config) libraryJSON() ([]byte, error) {
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be written as JSON: %w", err)
	}
	return config, nil
}
