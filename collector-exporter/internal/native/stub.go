// SPDX-License-Identifier: Apache-2.0

//go:build !cgo || !linux || !(amd64 || arm64)

package native

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Verify says why nothing works.
func Verify() error {
	return errNotLinked()
}

// Version gives "none": there is no library.
func Version() string {
	return "none"
}

// TakeLog gives no line.
func TakeLog() (LogLevel, string) {
	return LogNone, ""
}

// CheckConfig accepts everything, so that what is reported is the missing library, by Verify.
func CheckConfig([]byte) error {
	return nil
}

// Handle cannot be had.
type Handle struct{}

// Open says why nothing works.
func Open([]byte) (*Handle, error) {
	return nil, errNotLinked()
}

// Hurry does nothing.
func (*Handle) Hurry() error {
	return nil
}

// Close does nothing.
func (*Handle) Close(time.Duration) error {
	return nil
}

// Export says why nothing works.
func (*Handle) Export(context.Context, *Batch, time.Time) (Outcome, error) {
	return Outcome{}, errNotLinked()
}

func errNotLinked() error {
	if runtime.GOOS != "linux" || (runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64") {
		return fmt.Errorf("the iceberg exporter has no library for %s/%s: it is built for linux/amd64 and linux/arm64",
			runtime.GOOS, runtime.GOARCH)
	}
	return errors.New("the iceberg exporter was built without cgo: set dist.cgo_enabled: true in the builder's configuration and build again with a C compiler present")
}

// Batch cannot be had.
type Batch struct{}

// LiveBatches gives 0.
func LiveBatches() int64 {
	return 0
}

// NewBatch says why nothing works.
func NewBatch(Signal, []byte, []Part) (*Batch, error) {
	return nil, errNotLinked()
}

// Free does nothing.
func (*Batch) Free() {}

// SetRedelivered does nothing.
func (*Batch) SetRedelivered() {}

// Merge says why nothing works.
func (*Batch) Merge(*Batch) error {
	return errNotLinked()
}

// Signal gives none.
func (*Batch) Signal() Signal {
	return 0
}

// Parts gives none.
func (*Batch) Parts() []Part {
	return nil
}

// AppendPayload says why nothing works.
func (*Batch) AppendPayload(data []byte) ([]byte, error) {
	return data, errNotLinked()
}
