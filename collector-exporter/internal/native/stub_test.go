// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package native

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestABuildWithoutCgoSaysWhatToSet(t *testing.T) {
	assert.ErrorContains(t, Verify(), "dist.cgo_enabled: true")
	_, err := Open([]byte(`{}`))
	assert.ErrorContains(t, err, "dist.cgo_enabled: true")
	assert.NoError(t, CheckConfig([]byte(`{"unknown": 1}`)), "the missing library is what is reported, by Verify")
}
