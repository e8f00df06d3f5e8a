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
// The first eight sections are the library's. It alone knows their defaults and rules, so only configured settings are
// passed to it, and nil means "the library's default". docs/configuration.md describes them.
type Config struct {
	// Catalog says which catalog tracks the tables.
	Catalog CatalogConfig `mapstructure:"catalog" json:"catalog,omitzero"`
	// Storage says how files are accessed.
	Storage StorageConfig `mapstructure:"storage" json:"storage,omitzero"`
	// Tables says how tables are named, created and changed.
	Tables TablesConfig `mapstructure:"tables" json:"tables,omitzero"`
	// Parquet says how files are written.
	Parquet ParquetConfig `mapstructure:"parquet" json:"parquet,omitzero"`
	// Commit says how files are added to tables.
	Commit CommitConfig `mapstructure:"commit" json:"commit,omitzero"`
	// Compaction says how small files are merged into large ones.
	Compaction CompactionConfig `mapstructure:"compaction" json:"compaction,omitzero"`
	// Limits bounds the resources of a request and of the library.
	Limits LimitsConfig `mapstructure:"limits" json:"limits,omitzero"`
	// DeadLetter says where rejected data is kept.
	DeadLetter DeadLetterConfig `mapstructure:"dead_letter" json:"dead_letter,omitzero"`

	// TimeoutConfig bounds one attempt to store a batch.
	TimeoutConfig exporterhelper.TimeoutConfig `mapstructure:",squash" json:"-"`
	// RetryConfig says how a batch that could not be stored is retried.
	RetryConfig configretry.BackOffConfig `mapstructure:"retry_on_failure" json:"-"`
	// QueueConfig says how requests are queued and merged into batches.
	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue" json:"-"`
}

// CatalogConfig is the section catalog. The library decides which keys a type allows.
type CatalogConfig struct {
	// Type is the kind of catalog: sql, rest, glue, s3tables or none.
	Type *string `mapstructure:"type" json:"type,omitempty"`
	// URI of the catalog, such as sqlite://./warehouse/catalog.db or https://host/api/catalog.
	URI *string `mapstructure:"uri" json:"uri,omitempty"`
	// Warehouse is a directory, a URL or the catalog's own name for it, depending on Type.
	Warehouse *string `mapstructure:"warehouse" json:"warehouse,omitempty"`
	// DefaultLocation is where a Glue database's tables are created if it has no location of its own.
	DefaultLocation *string `mapstructure:"default_location" json:"default_location,omitempty"`
	// Namespace of the tables, with levels separated by dots.
	Namespace *string `mapstructure:"namespace" json:"namespace,omitempty"`
	// Name of the catalog inside a SQL catalog.
	Name *string `mapstructure:"name" json:"name,omitempty"`
	// Token is a bearer token.
	Token *configopaque.String `mapstructure:"token" json:"token,omitempty"`
	// OAuth2 holds client credentials for obtaining tokens.
	OAuth2 *OAuth2Config `mapstructure:"oauth2" json:"oauth2,omitempty"`
	// SigV4 makes requests signed for AWS.
	SigV4 *SigV4Config `mapstructure:"sigv4" json:"sigv4,omitempty"`
	// S3TablesAPI is the API to use for S3 Tables: rest or native.
	S3TablesAPI *string `mapstructure:"s3tables_api" json:"s3tables_api,omitempty"`
	// Headers are sent with every request to the catalog. Any of them may hold a key, so all are redacted in output.
	Headers map[string]configopaque.String `mapstructure:"headers" json:"headers,omitempty"`
	// VendedCredentials says whether to request storage credentials from the catalog.
	VendedCredentials *bool `mapstructure:"vended_credentials" json:"vended_credentials,omitempty"`
	// Timeout bounds one request to the catalog, in Go's notation, such as 30s.
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
	// Scope is the requested scope.
	Scope *string `mapstructure:"scope" json:"scope,omitempty"`
	// Audience is the audience that the token is requested for.
	Audience *string `mapstructure:"audience" json:"audience,omitempty"`
	// Resource is the resource that the token is requested for: RFC 8707.
	Resource *string `mapstructure:"resource" json:"resource,omitempty"`
}

// SigV4Config is catalog.sigv4: AWS Signature Version 4.
type SigV4Config struct {
	// Region that requests are signed for.
	Region *string `mapstructure:"region" json:"region,omitempty"`
	// Service is the signing name of the service, such as glue.
	Service *string `mapstructure:"service" json:"service,omitempty"`
}

// StorageConfig is the section storage.
type StorageConfig struct {
	// S3 says how s3:// locations are accessed.
	S3 S3Config `mapstructure:"s3" json:"s3,omitzero"`
}

// S3Config is storage.s3.
type S3Config struct {
	// Region of the bucket.
	Region *string `mapstructure:"region" json:"region,omitempty"`
	// Endpoint is the base URL of an S3-compatible service.
	Endpoint *string `mapstructure:"endpoint" json:"endpoint,omitempty"`
	// PathStyle says whether the URL's path contains the bucket's name.
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
	// Names maps default table names to others.
	Names map[string]string `mapstructure:"names" json:"names,omitempty"`
	// AutoCreate says whether a missing table is created.
	AutoCreate *bool `mapstructure:"auto_create" json:"auto_create,omitempty"`
	// AutoEvolve says whether columns that a table lacks are added to it.
	AutoEvolve *bool `mapstructure:"auto_evolve" json:"auto_evolve,omitempty"`
	// AttributeColumns lists the attributes with a column of their own. Each is a key, or a mapping with attribute,
	// from, column, type and tables.
	AttributeColumns []any `mapstructure:"attribute_columns" json:"attribute_columns,omitempty"`
	// ColumnCase is the case of names in new tables, and of added columns: pascal or lower.
	ColumnCase *string `mapstructure:"column_case" json:"column_case,omitempty"`
	// PartitionBy is a word (hour, day, month, none) or a list of transforms.
	PartitionBy any `mapstructure:"partition_by" json:"partition_by,omitempty"`
	// Properties are set on a table when it is created. An empty one is left out.
	Properties map[string]string `mapstructure:"properties" json:"properties,omitempty"`
}

// ParquetConfig is the section parquet.
type ParquetConfig struct {
	// Compression is the codec: zstd or none.
	Compression *string `mapstructure:"compression" json:"compression,omitempty"`
	// CompressionLevel is the codec's level.
	CompressionLevel *int `mapstructure:"compression_level" json:"compression_level,omitempty"`
	// MaxRowGroupRows bounds the rows of a row group.
	MaxRowGroupRows *int64 `mapstructure:"max_row_group_rows" json:"max_row_group_rows,omitempty"`
	// TargetFileSizeBytes is the size at which a file is closed.
	TargetFileSizeBytes *int64 `mapstructure:"target_file_size_bytes" json:"target_file_size_bytes,omitempty"`
	// BloomFilterColumns lists the columns with a bloom filter. It may be empty.
	BloomFilterColumns *[]string `mapstructure:"bloom_filter_columns" json:"bloom_filter_columns,omitempty"`
}

// CommitConfig is the section commit.
type CommitConfig struct {
	// Interval is the least time between two commits of a table, in Go's notation, such as 1m30s.
	Interval *string `mapstructure:"interval" json:"interval,omitempty"`
	// MaxRetries bounds the retries of a commit that lost a race.
	MaxRetries *int `mapstructure:"max_retries" json:"max_retries,omitempty"`
	// DedupSnapshots is the least number of a table's newest snapshots in which a request is looked up.
	DedupSnapshots *int64 `mapstructure:"dedup_snapshots" json:"dedup_snapshots,omitempty"`
	// DedupWindow is the maximum age of the snapshots in which a request is looked up, in Go's notation, such as 30m.
	DedupWindow *string `mapstructure:"dedup_window" json:"dedup_window,omitempty"`
	// OnFailure is the action for a batch that the catalog does not commit: retry or accept.
	OnFailure *string `mapstructure:"on_failure" json:"on_failure,omitempty"`
	// ReceiptsInterval is the time between two searches for receipts, in Go's notation, such as 60s.
	ReceiptsInterval *string `mapstructure:"receipts_interval" json:"receipts_interval,omitempty"`
	// ExpireSnapshots says whether commits expire old snapshots of a table whose properties request it.
	ExpireSnapshots *bool `mapstructure:"expire_snapshots" json:"expire_snapshots,omitempty"`
}

// CompactionConfig is the section compaction.
type CompactionConfig struct {
	// Enabled says whether small data files are merged in the background.
	Enabled *bool `mapstructure:"enabled" json:"enabled,omitempty"`
	// Interval is the time between two searches for small files, in Go's notation, such as 60s.
	Interval *string `mapstructure:"interval" json:"interval,omitempty"`
	// MinFiles is the least number of files of about the same size that are merged at a time.
	MinFiles *int64 `mapstructure:"min_files" json:"min_files,omitempty"`
}

// LimitsConfig is the section limits.
type LimitsConfig struct {
	// ColumnBytesMax bounds the memory of a string column of a batch.
	ColumnBytesMax *int64 `mapstructure:"column_bytes_max" json:"column_bytes_max,omitempty"`
	// BatchBytesMax bounds the memory of the rows of a call.
	BatchBytesMax *int64 `mapstructure:"batch_bytes_max" json:"batch_bytes_max,omitempty"`
	// PayloadBytesMax bounds the size of one request, before it is merged with others.
	PayloadBytesMax *int64 `mapstructure:"payload_bytes_max" json:"payload_bytes_max,omitempty"`
	// InFlightBytesMax bounds the total payload of all calls in progress; 0 is no limit.
	InFlightBytesMax *int64 `mapstructure:"in_flight_bytes_max" json:"in_flight_bytes_max,omitempty"`
	// RecordsPerRequestMax bounds the records of one request; 0 is no limit.
	RecordsPerRequestMax *int64 `mapstructure:"records_per_request_max" json:"records_per_request_max,omitempty"`
	// AttributesMax bounds the attributes that are kept per list; 0 is no limit.
	AttributesMax *int64 `mapstructure:"attributes_max" json:"attributes_max,omitempty"`
	// ValueBytesMax bounds the bytes that are kept per text; 0 is no limit.
	ValueBytesMax *int64 `mapstructure:"value_bytes_max" json:"value_bytes_max,omitempty"`
	// NestingMax bounds the levels of nested values that are kept.
	NestingMax *int64 `mapstructure:"nesting_max" json:"nesting_max,omitempty"`
	// PartitionsMax bounds the partition values for which a batch may open files.
	PartitionsMax *int64 `mapstructure:"partitions_max" json:"partitions_max,omitempty"`
	// ParallelCallsMax bounds the calls that hold rows in memory at the same time.
	ParallelCallsMax *int64 `mapstructure:"parallel_calls_max" json:"parallel_calls_max,omitempty"`
}

// DeadLetterConfig is the section dead_letter.
type DeadLetterConfig struct {
	// Path is where rejected data is kept: a directory or a URL. Without it, rejected data is only counted.
	Path *string `mapstructure:"path" json:"path,omitempty"`
	// ObjectBytesMax bounds the size of one object.
	ObjectBytesMax *int64 `mapstructure:"object_bytes_max" json:"object_bytes_max,omitempty"`
}

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Validator   = (*Config)(nil)
)

// Unmarshal reads the configuration. It then reads the keys of any type again: in their lists and mappings the
// Collector's own Unmarshal leaves placeholders instead of the values of ${env:…}.
func (cfg *Config) Unmarshal(conf *confmap.Conf) error {
	dropEmpty(conf)
	if err := textProperties(conf); err != nil {
		return err
	}
	if err := conf.Unmarshal(cfg); err != nil {
		return explainTypes(err)
	}
	cfg.keepBatchBytes(conf)
	if cfg.Tables.PartitionBy != nil {
		cfg.Tables.PartitionBy = conf.Get("tables::partition_by")
	}
	if columns, ok := conf.Get("tables::attribute_columns").([]any); ok {
		cfg.Tables.AttributeColumns = columns
	}
	return errors.Join(checkNonEmpty(conf), cfg.checkSizes(conf))
}

// Validate reports all problems together, each with its key.
func (cfg *Config) Validate() error {
	return errors.Join(cfg.validateLibrary(), cfg.validateDurations(), cfg.validateQueue())
}

// validateLibrary has the library check its own sections.
func (cfg *Config) validateLibrary() error {
	config, err := cfg.libraryJSON()
	if err != nil {
		return err
	}
	return native.CheckConfig(config)
}

// libraryJSON returns the library's sections as JSON, with only the configured settings. It contains every secret in
// plain text, so it must reach only the library, never a log or an error.
func (cfg *Config) libraryJSON() ([]byte, error) {
	config, err := json.Marshal(newLibraryConfig(cfg))
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be written as JSON: %w", err)
	}
	return config, nil
}

// The types below write secrets out, which JSON would otherwise redact. Each embeds a section and repeats the keys of
// its secrets as plain strings. Of two fields with the same key, encoding/json uses the outer one.

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
