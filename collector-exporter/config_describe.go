// SPDX-License-Identifier: Apache-2.0

package icebergexporter // import "github.com/otlp2iceberg/otlp2iceberg/collector-exporter"

import (
	"path/filepath"
	"strings"

	"go.uber.org/zap"
)

// The library's defaults, for the log line at the start only. The library itself receives only the settings that are
// configured.
const (
	defaultCatalogType = "sql"
	catalogTypeNone    = "none"
	defaultWarehouse   = "./warehouse"
	defaultNamespace   = "otel"

	sqliteScheme = "sqlite:"
	fileScheme   = "file:"
)

// logFields describes for the log where tables are written. A location that the catalog chooses has no field.
func (c *CatalogConfig) logFields() []zap.Field {
	var fields []zap.Field
	warehouse, uri := c.locations()
	if warehouse != "" {
		fields = append(fields, zap.String("warehouse", warehouse))
	}
	if uri != "" {
		fields = append(fields, zap.String("catalog_uri", uri))
	}
	return append(fields, zap.String("namespace", settingOr(c.Namespace, defaultNamespace)))
}

// locations returns the warehouse and the catalog's URI as they are used, each empty if there is none. Those of a
// SQLite catalog have absolute paths. Other catalogs choose a warehouse of their own.
func (c *CatalogConfig) locations() (warehouse, uri string) {
	kind := settingOr(c.Type, defaultCatalogType)
	if kind != defaultCatalogType && kind != catalogTypeNone {
		return settingOr(c.Warehouse, ""), settingOr(c.URI, "")
	}
	warehouse = settingOr(c.Warehouse, defaultWarehouse)
	if kind == catalogTypeNone {
		return warehouse, ""
	}
	folder, isFileURL := strings.CutPrefix(warehouse, fileScheme)
	if !isFileURL && !strings.Contains(warehouse, "://") {
		warehouse = absolutePath(warehouse)
		folder = warehouse
	}
	if c.URI == nil {
		return warehouse, sqliteScheme + "//" + filepath.Join(folder, "catalog.db")
	}
	path := strings.TrimPrefix(strings.TrimPrefix(*c.URI, sqliteScheme), "//")
	return warehouse, sqliteScheme + "//" + absolutePath(path)
}

// absolutePath resolves a path by the working directory, as the library does. It returns a path that cannot be resolved
// unchanged.
func absolutePath(path string) string {
	if resolved, err := filepath.Abs(path); err == nil {
		return resolved
	}
	return path
}

// settingOr returns a setting, or the library's default if it is not configured.
func settingOr(setting *string, libraryDefault string) string {
	if setting == nil {
		return libraryDefault
	}
	return *setting
}
