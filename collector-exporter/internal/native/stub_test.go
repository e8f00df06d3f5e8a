// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package native

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBuildWithoutCgoNamesTheSetting(t *testing.T) {
	assert.ErrorContains(t, Verify(), "dist.cgo_enabled: true")
	_, err := Open([]byte(`{}`))
	assert.ErrorContains(t, err, "dist.cgo_enabled: true")
	assert.NoError(t, CheckConfig([]byte(`{"unknown": 1}`)), "only Verify reports the missing library")
}
