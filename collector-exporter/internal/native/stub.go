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

// Verify returns why nothing works.
func Verify() error {
	return errNotLinked()
}

// Version returns "none", since there is no library.
func Version() string {
	return "none"
}

// TakeLog returns no line.
func TakeLog() (LogLevel, string) {
	return LogNone, ""
}

// CheckConfig accepts everything, so that Verify's error about the missing library is the one that is reported.
func CheckConfig([]byte) error {
	return nil
}

// Handle has no instances.
type Handle struct{}

// Open returns why nothing works.
func Open([]byte) (*Handle, error) {
	return nil, errNotLinked()
}

// BeginShutdown does nothing.
func (*Handle) BeginShutdown() error {
	return nil
}

// Close does nothing.
func (*Handle) Close(time.Duration) error {
	return nil
}

// Export returns why nothing works.
func (*Handle) Export(context.Context, *Batch, time.Time) (Outcome, error) {
	return Outcome{}, errNotLinked()
}

func errNotLinked() error {
	if runtime.GOOS != "linux" || (runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64") {
		return fmt.Errorf("the iceberg exporter has no library for %s/%s: it is built for linux/amd64 and linux/arm64",
			runtime.GOOS, runtime.GOARCH)
	}
	return errors.New("the iceberg exporter was built without cgo: set dist.cgo_enabled: true in the builder's " +
		"configuration and build again with a C compiler present")
}

// Batch has no instances.
type Batch struct{}

// LiveBatches returns 0.
func LiveBatches() int64 {
	return 0
}

// NewBatch returns why nothing works.
func NewBatch(Signal, []byte, []Part) (*Batch, error) {
	return nil, errNotLinked()
}

// Free does nothing.
func (*Batch) Free() {}

// SetRedelivered does nothing.
func (*Batch) SetRedelivered() {}

// Merge returns why nothing works.
func (*Batch) Merge(*Batch) error {
	return errNotLinked()
}

// Signal returns 0, which is no signal.
func (*Batch) Signal() Signal {
	return 0
}

// Parts returns nil.
func (*Batch) Parts() []Part {
	return nil
}

// AppendPayload returns why nothing works.
func (*Batch) AppendPayload(data []byte) ([]byte, error) {
	return data, errNotLinked()
}
