// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// Config is the exporter's configuration. An empty one works: it writes to ./warehouse.
//
// The first eight sections are the library's. It alone knows their defaults and rules, so only what was
// set is handed over, and a nil means "the library's default". docs/configuration.md describes them.
type Config struct {
	// Catalog says where tables are kept track of.
	Catalog CatalogConfig `mapstructure:"catalog" json:"catalog,omitzero"`
	// Storage says how files are reached.
	Storage StorageConfig `mapstructure:"storage" json:"storage,omitzero"`
	// Tables says how tables are named, made and changed.
	Tables TablesConfig `mapstructure:"tables" json:"tables,omitzero"`
	// Parquet says how files are written.
	Parquet ParquetConfig `mapstructure:"parquet" json:"parquet,omitzero"`
	// Commit says how files get into tables.
	Commit CommitConfig `mapstructure:"commit" json:"commit,omitzero"`
	// Compaction says how small files become large ones.
	Compaction CompactionConfig `mapstructure:"compaction" json:"compaction,omitzero"`
	// Limits bound what one request may cost.
	Limits LimitsConfig `mapstructure:"limits" json:"limits,omitzero"`
	// DeadLetter says where rejected data is kept.
	DeadLetter DeadLetterConfig `mapstructure:"dead_letter" json:"dead_letter,omitzero"`

	// TimeoutConfig bounds one attempt to store a batch.
	TimeoutConfig exporterhelper.TimeoutConfig `mapstructure:",squash" json:"-"`
	// RetryConfig says how a batch that could not be stored is tried again.
	RetryConfig configretry.BackOffConfig `mapstructure:"retry_on_failure" json:"-"`
	// QueueConfig says how requests are queued and merged into batches.
	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue" json:"-"`
}

// CatalogConfig is the section catalog. Which keys a type takes is the library's to say.
type CatalogConfig struct {
	// Type is the kind of catalog: sql, rest, glue, s3tables or none.
	Type *string `mapstructure:"type" json:"type,omitempty"`
	// URI of the catalog, such as sqlite://./warehouse/catalog.db or https://host/api/catalog.
	URI *string `mapstructure:"uri" json:"uri,omitempty"`
	// Warehouse is a directory or a URL, or the catalog's own name for it, by type.
	Warehouse *string `mapstructure:"warehouse" json:"warehouse,omitempty"`
	// Namespace of the tables, levels separated by dots.
	Namespace *string `mapstructure:"namespace" json:"namespace,omitempty"`
	// Name of the catalog inside a SQL catalog.
	Name *string `mapstructure:"name" json:"name,omitempty"`
	// Token is a bearer token.
	Token *configopaque.String `mapstructure:"token" json:"token,omitempty"`
	// OAuth2 are client credentials, to get tokens with.
	OAuth2 *OAuth2Config `mapstructure:"oauth2" json:"oauth2,omitempty"`
	// SigV4 says that requests are signed as AWS wants it, and for what.
	SigV4 *SigV4Config `mapstructure:"sigv4" json:"sigv4,omitempty"`
	// S3TablesAPI is the API of S3 Tables that is used: rest or native.
	S3TablesAPI *string `mapstructure:"s3tables_api" json:"s3tables_api,omitempty"`
	// Headers go with every request to the catalog. Any of them may hold a key, so none is shown.
	Headers map[string]configopaque.String `mapstructure:"headers" json:"headers,omitempty"`
	// VendedCredentials says whether the catalog is asked for storage credentials.
	VendedCredentials *bool `mapstructure:"vended_credentials" json:"vended_credentials,omitempty"`
	// Timeout bounds one request to the catalog, as Go writes it: 30s.
	Timeout *string `mapstructure:"timeout" json:"timeout,omitempty"`
}

// OAuth2Config is catalog.oauth2: the client credentials flow of RFC 6749, section 4.4.
type OAuth2Config struct {
	// ClientID is the client's id.
	ClientID *string `mapstructure:"client_id" json:"client_id,omitempty"`
	// ClientSecret is the client's secret.
	ClientSecret *configopaque.String `mapstructure:"client_secret" json:"client_secret,omitempty"`
	// TokenURI is the token endpoint.
	TokenURI *string `mapstructure:"token_uri" json:"token_uri,omitempty"`
	// Scope is the scope asked for.
	Scope *string `mapstructure:"scope" json:"scope,omitempty"`
}

// SigV4Config is catalog.sigv4: AWS Signature Version 4.
type SigV4Config struct {
	// Region that requests are signed for.
	Region *string `mapstructure:"region" json:"region,omitempty"`
	// Service is the service's signing name, such as glue.
	Service *string `mapstructure:"service" json:"service,omitempty"`
}

// StorageConfig is the section storage.
type StorageConfig struct {
	// S3 says how s3:// locations are reached.
	S3 S3Config `mapstructure:"s3" json:"s3,omitzero"`
}

// S3Config is storage.s3.
type S3Config struct {
	// Region of the bucket.
	Region *string `mapstructure:"region" json:"region,omitempty"`
	// Endpoint is the base URL of a service that speaks S3.
	Endpoint *string `mapstructure:"endpoint" json:"endpoint,omitempty"`
	// PathStyle says whether the bucket is named in the URL's path.
	PathStyle *bool `mapstructure:"path_style" json:"path_style,omitempty"`
	// AccessKeyID is the id of fixed credentials.
	AccessKeyID *string `mapstructure:"access_key_id" json:"access_key_id,omitempty"`
	// SecretAccessKey is the secret of AccessKeyID.
	SecretAccessKey *configopaque.String `mapstructure:"secret_access_key" json:"secret_access_key,omitempty"`
	// SessionToken is the token of temporary credentials.
	SessionToken *configopaque.String `mapstructure:"session_token" json:"session_token,omitempty"`
}

// TablesConfig is the section tables.
type TablesConfig struct {
	// Names of tables, by their default name.
	Names map[string]string `mapstructure:"names" json:"names,omitempty"`
	// AutoCreate says whether a missing table is made.
	AutoCreate *bool `mapstructure:"auto_create" json:"auto_create,omitempty"`
	// AutoEvolve says whether our missing columns are added to a table.
	AutoEvolve *bool `mapstructure:"auto_evolve" json:"auto_evolve,omitempty"`
	// AttributeColumns are the attributes that get columns of their own: each a key, or a mapping with attribute, from,
	// column, type and tables.
	AttributeColumns []any `mapstructure:"attribute_columns" json:"attribute_columns,omitempty"`
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
	// DedupSnapshots is in how many of a table's newest snapshots a request is looked for at least.
	DedupSnapshots *int64 `mapstructure:"dedup_snapshots" json:"dedup_snapshots,omitempty"`
	// DedupWindow is how old a snapshot may be for a request to be looked for in it, as Go writes it: 30m.
	DedupWindow *string `mapstructure:"dedup_window" json:"dedup_window,omitempty"`
	// OnFailure says what becomes of a batch that the catalog does not commit: retry or accept.
	OnFailure *string `mapstructure:"on_failure" json:"on_failure,omitempty"`
	// ReceiptsInterval is how often receipts are looked for, as Go writes it: 60s.
	ReceiptsInterval *string `mapstructure:"receipts_interval" json:"receipts_interval,omitempty"`
	// ExpireSnapshots lets commits expire a table's old snapshots where its properties ask for that.
	ExpireSnapshots *bool `mapstructure:"expire_snapshots" json:"expire_snapshots,omitempty"`
}

// CompactionConfig is the section compaction.
type CompactionConfig struct {
	// Enabled says whether small data files are merged in the background.
	Enabled *bool `mapstructure:"enabled" json:"enabled,omitempty"`
	// Interval is how often tables are looked at, as Go writes it: 60s.
	Interval *string `mapstructure:"interval" json:"interval,omitempty"`
	// MinFiles is how many files of about the same size are merged at a time at least.
	MinFiles *int64 `mapstructure:"min_files" json:"min_files,omitempty"`
}

// LimitsConfig is the section limits.
type LimitsConfig struct {
	// ColumnBytesMax bounds a string column of a batch in memory.
	ColumnBytesMax *int64 `mapstructure:"column_bytes_max" json:"column_bytes_max,omitempty"`
	// BatchBytesMax bounds the rows of a call in memory.
	BatchBytesMax *int64 `mapstructure:"batch_bytes_max" json:"batch_bytes_max,omitempty"`
	// PayloadBytesMax bounds one request, before it is merged with others.
	PayloadBytesMax *int64 `mapstructure:"payload_bytes_max" json:"payload_bytes_max,omitempty"`
	// InFlightBytesMax bounds the payloads of all calls under way; 0 is no limit.
	InFlightBytesMax *int64 `mapstructure:"in_flight_bytes_max" json:"in_flight_bytes_max,omitempty"`
	// RecordsPerRequestMax bounds the records of one request; 0 is no limit.
	RecordsPerRequestMax *int64 `mapstructure:"records_per_request_max" json:"records_per_request_max,omitempty"`
	// AttributesMax bounds the attributes that are kept of one list; 0 is no limit.
	AttributesMax *int64 `mapstructure:"attributes_max" json:"attributes_max,omitempty"`
	// ValueBytesMax bounds the bytes that are kept of one text; 0 is no limit.
	ValueBytesMax *int64 `mapstructure:"value_bytes_max" json:"value_bytes_max,omitempty"`
	// NestingMax bounds the levels that are kept of nested values.
	NestingMax *int64 `mapstructure:"nesting_max" json:"nesting_max,omitempty"`
	// PartitionsMax bounds the partition values that a batch may open files for.
	PartitionsMax *int64 `mapstructure:"partitions_max" json:"partitions_max,omitempty"`
	// ParallelCallsMax bounds the calls that hold rows in memory at the same time.
	ParallelCallsMax *int64 `mapstructure:"parallel_calls_max" json:"parallel_calls_max,omitempty"`
}

// DeadLetterConfig is the section dead_letter.
type DeadLetterConfig struct {
	// Path is where rejected data is kept: a directory or a URL. Not set, it is only counted.
	Path *string `mapstructure:"path" json:"path,omitempty"`
	// ObjectBytesMax bounds one object.
	ObjectBytesMax *int64 `mapstructure:"object_bytes_max" json:"object_bytes_max,omitempty"`
}

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Validator   = (*Config)(nil)
)

// Unmarshal reads the configuration. What ${env:…} stands for is put into the keys that take anything: the Collector's
// own way leaves its place holders in their lists and mappings.
func (cfg *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(cfg); err != nil {
		return err
	}
	if cfg.Tables.PartitionBy != nil {
		cfg.Tables.PartitionBy = conf.Get("tables::partition_by")
	}
	if columns, ok := conf.Get("tables::attribute_columns").([]any); ok {
		cfg.Tables.AttributeColumns = columns
	}
	return errors.Join(refuseEmpty(conf), cfg.askForSizes(conf))
}

// askForSizes refuses a size that was left at its default, which is in bytes, where the unit was changed: a queue of half
// a billion requests has no bound, and a batch of 24 million items waits for its flush_timeout each time.
func (cfg *Config) askForSizes(conf *confmap.Conf) error {
	if !cfg.QueueConfig.HasValue() {
		return nil
	}
	var problems []error
	ask := func(section, key string, sizer exporterhelper.RequestSizerType) {
		if sizer != exporterhelper.RequestSizerTypeBytes && !conf.IsSet(section+"::"+key) {
			problems = append(problems, fmt.Errorf("%s::%s: is needed with %s::sizer: %s, in %[4]s; its default is in bytes",
				section, key, section, sizer.String()))
		}
	}
	queue := cfg.QueueConfig.Get()
	ask("sending_queue", "queue_size", queue.Sizer)
	// A batch has no other unit than these two, which exporterhelper says itself.
	if queue.Batch.HasValue() && queue.Batch.Get().Sizer == exporterhelper.RequestSizerTypeItems {
		ask("sending_queue::batch", "min_size", queue.Batch.Get().Sizer)
	}
	return errors.Join(problems...)
}

// Validate reports every problem at once, each with its key.
func (cfg *Config) Validate() error {
	return errors.Join(cfg.validateLibrary(), cfg.validateTimes(), cfg.validateQueue())
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
	return errors.Join(problems...)
}

// libraryJSON gives the library's sections as it reads them, with nothing in them that was not set and
// with every secret in plain text: it is for the library alone, never for a log or an error.
func (cfg *Config) libraryJSON() ([]byte, error) {
	config, err := json.Marshal(newLibraryConfig(cfg))
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be written as JSON: %w", err)
	}
	return config, nil
}

// The types below say where a secret is. Each embeds a section and covers the fields that JSON would
// redact with fields of the same key that it writes out: of two, encoding/json takes the outer one.

type libraryConfig struct {
	*Config
	Catalog libraryCatalog `json:"catalog,omitzero"`
	Storage libraryStorage `json:"storage,omitzero"`
}

type libraryCatalog struct {
	CatalogConfig
	Token   *string           `json:"token,omitempty"`
	OAuth2  *libraryOAuth2    `json:"oauth2,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

type libraryOAuth2 struct {
	OAuth2Config
	ClientSecret *string `json:"client_secret,omitempty"`
}

type libraryStorage struct {
	S3 libraryS3 `json:"s3,omitzero"`
}

type libraryS3 struct {
	S3Config
	SecretAccessKey *string `json:"secret_access_key,omitempty"`
	SessionToken    *string `json:"session_token,omitempty"`
}

func newLibraryConfig(cfg *Config) libraryConfig {
	catalog := libraryCatalog{CatalogConfig: cfg.Catalog, Token: (*string)(cfg.Catalog.Token)}
	if oauth2 := cfg.Catalog.OAuth2; oauth2 != nil {
		catalog.OAuth2 = &libraryOAuth2{OAuth2Config: *oauth2, ClientSecret: (*string)(oauth2.ClientSecret)}
	}
	if headers := cfg.Catalog.Headers; headers != nil {
		catalog.Headers = make(map[string]string, len(headers))
		for name, value := range headers {
			catalog.Headers[name] = string(value)
		}
	}
	s3 := cfg.Storage.S3
	return libraryConfig{
		Config:  cfg,
		Catalog: catalog,
		Storage: libraryStorage{S3: libraryS3{
			S3Config:        s3,
			SecretAccessKey: (*string)(s3.SecretAccessKey),
			SessionToken:    (*string)(s3.SessionToken),
		}},
	}
}
