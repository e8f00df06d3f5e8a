// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

type signal string

const (
	signalLogs    signal = "logs"
	signalTraces  signal = "traces"
	signalMetrics signal = "metrics"

	services = 20
)

type payload struct {
	signal signal
	make   func(random *rand.Rand, records int) ([]byte, error)
}

var payloads = map[string]payload{
	"logs-300":   {signalLogs, func(r *rand.Rand, n int) ([]byte, error) { return logs(r, n, 0) }},
	"logs-1k":    {signalLogs, func(r *rand.Rand, n int) ([]byte, error) { return logs(r, n, 90) }},
	"spans":      {signalTraces, spans},
	"gauges":     {signalMetrics, func(r *rand.Rand, n int) ([]byte, error) { return metrics(r, n, gauge) }},
	"histograms": {signalMetrics, func(r *rand.Rand, n int) ([]byte, error) { return metrics(r, n, histogram) }},
}

func payloadNames() []string {
	var names []string
	for name := range payloads {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// words are what long log bodies are made of, so that they compress as text does.
var words = strings.Fields(`request handler returned error while calling upstream service timeout after retry attempt
connection reset by peer customer order payment gateway cache lookup failed falling back to database query took longer
than expected transaction rolled back lock wait exceeded worker pool exhausted scheduling next poll of partition offset
committed consumer group rebalanced leader changed snapshot loaded configuration reloaded feature flag evaluated user
session expired token refreshed permission denied resource not found validation failed field missing in body`)

// newTimes gives so many different times after the first time of a request, in nanoseconds, in no order.
func newTimes(random *rand.Rand, records int) []pcommon.Timestamp {
	slots := make([]pcommon.Timestamp, records)
	for i := range slots {
		micros := i*microsPerRecord + random.IntN(microsPerRecord)
		// A time of zero would be left out of the encoding, and could not move.
		slots[i] = pcommon.Timestamp(micros*1000 + 1 + random.IntN(999))
	}
	return slots
}

// newTimesOf deals the times of a request out to its services, each in order.
func newTimesOf(random *rand.Rand, records int) [services][]pcommon.Timestamp {
	var dealt [services][]pcommon.Timestamp
	for i, time := range newTimes(random, records) {
		// Every service gets one first, so that none is without.
		service := i % services
		if i >= services {
			service = random.IntN(services)
		}
		dealt[service] = append(dealt[service], time)
	}
	return dealt
}

func fillResource(resource pcommon.Resource, service int) {
	attributes := resource.Attributes()
	attributes.PutStr("service.name", fmt.Sprintf("service-%d", service))
	attributes.PutStr("service.version", "1.14.2")
	attributes.PutStr("k8s.namespace.name", "production")
	attributes.PutStr("k8s.pod.name", fmt.Sprintf("service-%d-6d5f9c7b8-x2k4q", service))
	attributes.PutStr("host.name", fmt.Sprintf("ip-10-0-3-%d", service))
}

func fillScope(scope pcommon.InstrumentationScope) {
	scope.SetName("com.example.checkout")
	scope.SetVersion("2.1.0")
}

func randomBytes(random *rand.Rand, into []byte) {
	for i := range into {
		into[i] = byte(random.Uint32())
	}
}

func traceID(random *rand.Rand) (id pcommon.TraceID) {
	randomBytes(random, id[:])
	return id
}

func spanID(random *rand.Rand) (id pcommon.SpanID) {
	randomBytes(random, id[:])
	return id
}

// logs makes log records of about 300 bytes, and longer by so many words.
func logs(random *rand.Rand, records int, more int) ([]byte, error) {
	data := plog.NewLogs()
	for service, times := range newTimesOf(random, records) {
		if len(times) == 0 {
			continue
		}
		resource := data.ResourceLogs().AppendEmpty()
		fillResource(resource.Resource(), service)
		scope := resource.ScopeLogs().AppendEmpty()
		fillScope(scope.Scope())
		for _, time := range times {
			fillLog(random, scope.LogRecords().AppendEmpty(), time, more)
		}
	}
	return (&plog.ProtoMarshaler{}).MarshalLogs(data)
}

func fillLog(random *rand.Rand, record plog.LogRecord, time pcommon.Timestamp, more int) {
	status := []int64{200, 200, 200, 404, 500}[random.IntN(5)]
	body := fmt.Sprintf("GET /api/v1/orders/%d completed with status %d in %d ms for customer %d",
		random.IntN(1_000_000), status, random.IntN(900), random.IntN(50_000))
	for range more {
		body += " " + words[random.IntN(len(words))]
	}
	record.SetTimestamp(time)
	record.SetObservedTimestamp(time + 500_000)
	record.SetSeverityNumber(plog.SeverityNumberInfo)
	record.SetSeverityText("INFO")
	record.Body().SetStr(body)
	attributes := record.Attributes()
	attributes.PutStr("http.request.method", "GET")
	attributes.PutStr("url.path", fmt.Sprintf("/api/v1/orders/%d", random.IntN(1_000_000)))
	attributes.PutStr("http.route", "/api/v1/orders/{id}")
	attributes.PutInt("http.response.status_code", status)
	attributes.PutStr("client.address", fmt.Sprintf("10.%d.%d.%d", random.IntN(256), random.IntN(256), random.IntN(256)))
	record.SetTraceID(traceID(random))
	record.SetSpanID(spanID(random))
	record.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
}

// spans makes spans with an event each, and a link on every tenth.
func spans(random *rand.Rand, records int) ([]byte, error) {
	data := ptrace.NewTraces()
	for service, times := range newTimesOf(random, records) {
		if len(times) == 0 {
			continue
		}
		resource := data.ResourceSpans().AppendEmpty()
		fillResource(resource.Resource(), service)
		scope := resource.ScopeSpans().AppendEmpty()
		fillScope(scope.Scope())
		for i, time := range times {
			fillSpan(random, scope.Spans().AppendEmpty(), time, i%10 == 0)
		}
	}
	return (&ptrace.ProtoMarshaler{}).MarshalTraces(data)
}

func fillSpan(random *rand.Rand, span ptrace.Span, start pcommon.Timestamp, linked bool) {
	span.SetTraceID(traceID(random))
	span.SetSpanID(spanID(random))
	span.SetParentSpanID(spanID(random))
	span.SetName([]string{"GET /orders", "SELECT orders", "POST /pay", "cache.get"}[random.IntN(4)])
	span.SetKind(ptrace.SpanKindServer)
	span.SetStartTimestamp(start)
	span.SetEndTimestamp(start + pcommon.Timestamp(random.IntN(80_000_000)))
	attributes := span.Attributes()
	attributes.PutStr("http.request.method", "GET")
	attributes.PutStr("url.path", fmt.Sprintf("/api/v1/orders/%d", random.IntN(1_000_000)))
	attributes.PutInt("http.response.status_code", 200)
	event := span.Events().AppendEmpty()
	event.SetTimestamp(start + 1_000_000)
	event.SetName("cache.miss")
	event.Attributes().PutStr("cache.key", fmt.Sprintf("order:%d", random.IntN(1_000_000)))
	if linked {
		link := span.Links().AppendEmpty()
		link.SetTraceID(traceID(random))
		link.SetSpanID(spanID(random))
	}
}

// metricsOfService is how many metrics the points of a service belong to.
const metricsOfService = 10

// metrics makes data points of one kind: 20 services, 10 metrics each, the points of a metric are its series.
func metrics(random *rand.Rand, records int, fill func(*rand.Rand, pmetric.Metric, int, []pcommon.Timestamp)) ([]byte, error) {
	data := pmetric.NewMetrics()
	for service, times := range newTimesOf(random, records) {
		if len(times) == 0 {
			continue
		}
		resource := data.ResourceMetrics().AppendEmpty()
		fillResource(resource.Resource(), service)
		scope := resource.ScopeMetrics().AppendEmpty()
		fillScope(scope.Scope())
		number := 0
		for share := range slices.Chunk(times, (len(times)+metricsOfService-1)/metricsOfService) {
			fill(random, scope.Metrics().AppendEmpty(), number, share)
			number++
		}
	}
	return (&pmetric.ProtoMarshaler{}).MarshalMetrics(data)
}

func gauge(random *rand.Rand, metric pmetric.Metric, number int, times []pcommon.Timestamp) {
	metric.SetName(fmt.Sprintf("system.cpu.utilization.%d", number))
	metric.SetUnit("1")
	points := metric.SetEmptyGauge().DataPoints()
	for i, time := range times {
		point := points.AppendEmpty()
		point.Attributes().PutStr("cpu", fmt.Sprintf("cpu%d", i%16))
		point.Attributes().PutStr("state", []string{"user", "system", "idle", "wait"}[i/16%4])
		point.SetTimestamp(time)
		point.SetDoubleValue(float64(random.IntN(10_000)) / 10_000)
	}
}

var bounds = []float64{5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500}

func histogram(random *rand.Rand, metric pmetric.Metric, number int, times []pcommon.Timestamp) {
	metric.SetName(fmt.Sprintf("http.server.request.duration.%d", number))
	metric.SetUnit("ms")
	histogram := metric.SetEmptyHistogram()
	histogram.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for i, time := range times {
		point := histogram.DataPoints().AppendEmpty()
		point.Attributes().PutStr("http.route", fmt.Sprintf("/api/v1/%d", i%30))
		// Zero would be left out of the encoding, and could not be set to a time of now.
		point.SetStartTimestamp(1)
		point.SetTimestamp(time)
		point.ExplicitBounds().FromRaw(bounds)
		counts, count := make([]uint64, len(bounds)+1), uint64(0)
		for bucket := range counts {
			counts[bucket] = uint64(random.IntN(50))
			count += counts[bucket]
		}
		point.BucketCounts().FromRaw(counts)
		point.SetCount(count)
		point.SetSum(float64(random.IntN(100_000)) / 7)
	}
}
