// SPDX-License-Identifier: Apache-2.0

package icebergexporter

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otlp2iceberg/otlp2iceberg/collector-exporter/internal/native"
)

// exportCall is one call of a fake library.
type exportCall struct {
	signal  native.Signal
	payload string
	parts   []native.Part
	// bounded says whether the call had a deadline.
	bounded bool
}

// fakeLibrary replaces the linked library and gives the configured answers.
type fakeLibrary struct {
	// answer gives the result of an export. Nil stores everything.
	answer func(call exportCall) (native.Outcome, error)
	// hangs makes an export last until its context ends, as if the destination did not answer.
	hangs bool
	// openErr is the error of open.
	openErr error

	mu     sync.Mutex
	calls  []exportCall
	opens  []string
	closes int
	// callsAtHurry has the number of calls so far for each call of BeginShutdown.
	callsAtHurry []int
}

func (f *fakeLibrary) open(config []byte) (handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens = append(f.opens, string(config))
	if f.openErr != nil {
		return nil, f.openErr
	}
	return f, nil
}

func (f *fakeLibrary) BeginShutdown() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callsAtHurry = append(f.callsAtHurry, len(f.calls))
	return nil
}

func (f *fakeLibrary) Close(time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes++
	return nil
}

func (f *fakeLibrary) Export(ctx context.Context, batch *native.Batch, _ time.Time) (native.Outcome, error) {
	_, bounded := ctx.Deadline()
	payload, err := batch.AppendPayload(nil)
	if err != nil {
		return native.Outcome{}, err
	}
	call := exportCall{
		signal: batch.Signal(), payload: string(payload), parts: slices.Clone(batch.Parts()), bounded: bounded,
	}
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.mu.Unlock()
	if f.hangs {
		<-ctx.Done()
		return native.Outcome{}, &native.Error{
			Code: native.CodeCancelled, RetryClass: native.RetryClassRetry, Message: "told to stop",
		}
	}
	if f.answer == nil {
		return native.Outcome{Rows: 1, Files: 1, Commits: 1, CommitAttempts: 1}, nil
	}
	return f.answer(call)
}

// exports returns the calls so far.
func (f *fakeLibrary) exports() []exportCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

var temporaryFailure = native.Error{RetryClass: native.RetryClassRetry, Message: "not now"}

// failingWith returns an answer that is always this error.
func failingWith(failure native.Error) func(exportCall) (native.Outcome, error) {
	return func(exportCall) (native.Outcome, error) {
		return native.Outcome{}, &failure
	}
}

// memoryStorage is a storage extension that outlives exporters, like a directory.
type memoryStorage struct {
	component.StartFunc
	component.ShutdownFunc

	mu     sync.Mutex
	values map[string][]byte
}

var storageID = component.MustNewID("memory_storage")

// hostWith returns a host with the storage extension.
func hostWith(s *memoryStorage) component.Host {
	return storageHost{Host: componenttest.NewNopHost(), storage: s}
}

type storageHost struct {
	component.Host
	storage *memoryStorage
}

func (h storageHost) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{storageID: h.storage}
}

func newMemoryStorage() *memoryStorage {
	return &memoryStorage{values: map[string][]byte{}}
}

func (s *memoryStorage) GetClient(
	_ context.Context, _ component.Kind, _ component.ID, name string,
) (storage.Client, error) {
	return &memoryClient{storage: s, prefix: name + "/"}, nil
}

// snapshot returns a copy of the stored values, as a crash would leave them.
func (s *memoryStorage) snapshot() *memoryStorage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memoryStorage{values: maps.Clone(s.values)}
}

type memoryClient struct {
	storage *memoryStorage
	prefix  string
}

func (c *memoryClient) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *memoryClient) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *memoryClient) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *memoryClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.storage.mu.Lock()
	defer c.storage.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = slices.Clone(c.storage.values[c.prefix+op.Key])
		case storage.Set:
			c.storage.values[c.prefix+op.Key] = slices.Clone(op.Value)
		case storage.Delete:
			delete(c.storage.values, c.prefix+op.Key)
		}
	}
	return nil
}

func (*memoryClient) Close(context.Context) error { return nil }

// payloadOf returns a request's bytes.
func payloadOf(t *testing.T, r *request) string {
	t.Helper()
	payload, err := r.appendPayload(nil)
	require.NoError(t, err)
	return string(payload)
}

// fastConfig returns a configuration with short retry intervals and flush timeouts.
func fastConfig(t *testing.T, change func(*Config)) *Config {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.RetryConfig.InitialInterval = time.Millisecond
	cfg.RetryConfig.MaxInterval = time.Millisecond
	cfg.QueueConfig.Get().Batch.Get().FlushTimeout = time.Millisecond
	if change != nil {
		change(cfg)
	}
	return cfg
}

// withoutQueue makes each client wait for its own request, which is tried once.
func withoutQueue(cfg *Config) {
	cfg.RetryConfig.Enabled = false
	cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
}
