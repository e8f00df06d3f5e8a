// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

func TestStartIsLoggedOnceWithLocations(t *testing.T) {
	seen := startLogsAndTraces(t, fastConfig(t, nil))
	started := seen.FilterMessage("Writing Iceberg tables").All()
	require.Len(t, started, 1)
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"library_version": native.Version(),
		"warehouse":       filepath.Join(here, "warehouse"),
		"catalog_uri":     "sqlite://" + filepath.Join(here, "warehouse", "catalog.db"),
		"namespace":       "otel",
	}, started[0].ContextMap())
}

func TestCatalogLocations(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	for _, place := range []struct{ kind, warehouse, uri, wantWarehouse, wantURI string }{
		{"sql", "w", "sqlite://./c.db", here + "/w", "sqlite://" + here + "/c.db"},
		{"sql", "/w", "sqlite:c.db", "/w", "sqlite://" + here + "/c.db"},
		{"sql", "file:///w", "sqlite:////c.db", "file:///w", "sqlite:///c.db"},
		{"rest", "prod", "https://catalog.example", "prod", "https://catalog.example"},
	} {
		warehouse, uri := (&CatalogConfig{Type: &place.kind, Warehouse: &place.warehouse, URI: &place.uri}).locations()
		assert.Equal(t, place.wantWarehouse, warehouse)
		assert.Equal(t, place.wantURI, uri)
	}
	for kind, want := range map[string]string{"rest": "", "glue": "", "none": defaultWarehouse} {
		warehouse, uri := (&CatalogConfig{Type: &kind}).locations()
		assert.Equal(t, want, warehouse, kind)
		assert.Empty(t, uri, kind)
	}
	for _, url := range []string{"file:///w", "file:/w"} {
		warehouse, uri := (&CatalogConfig{Warehouse: &url}).locations()
		assert.Equal(t, url, warehouse)
		assert.Equal(t, "sqlite:///w/catalog.db", uri)
	}
}

func TestLoggedDefaultsAreTheLibrarys(t *testing.T) {
	t.Chdir(t.TempDir())
	logs, err := NewFactory().CreateLogs(t.Context(), nopSettings(), fastConfig(t, waitForResult))
	require.NoError(t, err)
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.ConsumeLogs(t.Context(), logsOf("one")))
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.DirExists(t, filepath.Join(defaultWarehouse, defaultNamespace, "logs"))
}
