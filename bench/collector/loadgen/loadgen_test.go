// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc"
)

const records = 100

func smallPool(t *testing.T, payload string) *pool {
	t.Helper()
	p, err := newPool(options{payload: payload, records: records, poolBytes: 1, inFlight: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// timesOf decodes a request with the Collector's own decoder and gives each record's time.
func timesOf(t *testing.T, s signal, request []byte) (times []pcommon.Timestamp) {
	t.Helper()
	var err error
	switch s {
	case signalLogs:
		var data plog.Logs
		if data, err = (&plog.ProtoUnmarshaler{}).UnmarshalLogs(request); err != nil {
			break
		}
		for _, resource := range data.ResourceLogs().All() {
			for _, record := range resource.ScopeLogs().At(0).LogRecords().All() {
				times = append(times, record.Timestamp())
			}
		}
	case signalTraces:
		var data ptrace.Traces
		if data, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(request); err != nil {
			break
		}
		for _, resource := range data.ResourceSpans().All() {
			for _, span := range resource.ScopeSpans().At(0).Spans().All() {
				if event := span.Events().At(0).Timestamp(); event != span.StartTimestamp()+1_000_000 {
					t.Fatalf("a span starts at %d and its event is at %d", span.StartTimestamp(), event)
				}
				times = append(times, span.StartTimestamp())
			}
		}
	case signalMetrics:
		var data pmetric.Metrics
		if data, err = (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(request); err != nil {
			break
		}
		for _, resource := range data.ResourceMetrics().All() {
			for _, metric := range resource.ScopeMetrics().At(0).Metrics().All() {
				times = append(times, timesOfMetric(metric)...)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return times
}

func timesOfMetric(metric pmetric.Metric) (times []pcommon.Timestamp) {
	if metric.Type() == pmetric.MetricTypeGauge {
		for _, point := range metric.Gauge().DataPoints().All() {
			times = append(times, point.Timestamp())
		}
		return times
	}
	for _, point := range metric.Histogram().DataPoints().All() {
		times = append(times, point.Timestamp())
	}
	return times
}

func TestEachRecordThatIsSentHasATimeOfItsOwn(t *testing.T) {
	for _, name := range payloadNames() {
		t.Run(name, func(t *testing.T) {
			p := smallPool(t, name)
			begun := time.Now()
			seen := map[int64]bool{}
			// More than there are, so that some are sent again.
			for range 2*p.count + 1 {
				request := p.take()
				for _, at := range timesOf(t, p.signal, request.bytes) {
					if age := at.AsTime().Sub(begun); age < -time.Millisecond || age > time.Minute {
						t.Fatalf("a record's time is %s after now", age)
					}
					micros := at.AsTime().UnixMicro()
					if seen[micros] {
						t.Fatalf("two records have the time %d µs", micros)
					}
					seen[micros] = true
				}
				p.give(request)
			}
			if want := (2*p.count + 1) * records; len(seen) != want {
				t.Fatalf("%d records were sent, want %d", len(seen), want)
			}
		})
	}
}

func TestRecordsAreCountedInAFileOfTheFileExporter(t *testing.T) {
	p := smallPool(t, "histograms")
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	for range 3 {
		request := p.take()
		message := encoder.EncodeAll(request.bytes, nil)
		file = append(binary.BigEndian.AppendUint32(file, uint32(len(message))), message...)
		p.give(request)
	}
	path := filepath.Join(t.TempDir(), "out.bin")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := countFile(path, p.signal); err != nil || found != 3*records {
		t.Fatalf("counted %d (%v), want %d", found, err, 3*records)
	}
	if err := os.WriteFile(path, file[:len(file)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := countFile(path, p.signal); err == nil {
		t.Fatalf("a file that is cut off counts %d", found)
	}
}

// logsServer is the receiving side as the Collector has it; it refuses each second request.
type logsServer struct {
	plogotlp.UnimplementedGRPCServer
	mu       sync.Mutex
	requests int
	accepted int
}

func (s *logsServer) Export(_ context.Context, request plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := plogotlp.NewExportResponse()
	if s.requests++; s.requests%2 == 0 {
		response.PartialSuccess().SetRejectedLogRecords(1)
		return response, nil
	}
	s.accepted += request.Logs().LogRecordCount()
	return response, nil
}

func (s *logsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := plogotlp.NewExportRequest()
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = request.UnmarshalProto(body)
	}
	if err != nil || r.URL.Path != "/v1/logs" {
		http.Error(w, fmt.Sprint(r.URL.Path, " ", err), http.StatusBadRequest)
		return
	}
	response, _ := s.Export(r.Context(), request)
	answer, _ := response.MarshalProto()
	_, _ = w.Write(answer)
}

func (s *logsServer) listen(t *testing.T, transport string) (address string) {
	t.Helper()
	if transport == "http" {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	plogotlp.RegisterGRPCServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestWhatIsReportedAsAcceptedIsWhatTheServerAccepted(t *testing.T) {
	for _, transport := range []string{"grpc", "http"} {
		t.Run(transport, func(t *testing.T) {
			server := &logsServer{}
			command := fmt.Sprintf("send %s %s 0 0.2\n", transport, server.listen(t, transport))
			var out bytes.Buffer
			o := options{payload: "logs-300", records: records, poolBytes: 1, inFlight: 2, timeoutSeconds: 60}
			if err := run(o, strings.NewReader(command), &out); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var got report
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
				t.Fatal(err)
			}
			if server.requests == 0 || got.SentRecords != server.requests*records {
				t.Fatalf("%d records were sent in %d requests", got.SentRecords, server.requests)
			}
			if got.AcceptedRecords != server.accepted || got.Errors != server.requests/2 {
				t.Fatalf("reported %+v, the server accepted %d records of %d requests", got, server.accepted, server.requests)
			}
		})
	}
}

func TestAtARateNoMoreIsSentThanIsDue(t *testing.T) {
	server := &logsServer{}
	sender, err := newSender("grpc", server.listen(t, "grpc"), signalLogs, options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.close()
	o := options{inFlight: 2, timeoutSeconds: 60}
	got := load{sender: sender, pool: smallPool(t, "logs-300"), options: o, rate: 10 * records, length: 300 * time.Millisecond}.
		run(t.Context())
	// Ten requests a second: at 0, 0.1 and 0.2 s; a slow machine sends fewer.
	if got.SentRecords < records || got.SentRecords > 3*records {
		t.Fatalf("%d records were sent", got.SentRecords)
	}
}
