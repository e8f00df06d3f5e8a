// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// sender sends an encoded request and waits for its answer; it is safe for concurrent use.
type sender interface {
	send(ctx context.Context, request []byte) error
	close()
}

func newSender(transport, address string, s signal, o options) (sender, error) {
	switch transport {
	case "grpc":
		return newGRPC(address, s)
	case "http":
		return newHTTP(address, s, o), nil
	default:
		return nil, fmt.Errorf("unknown transport %q", transport)
	}
}

var methods = map[signal]string{
	signalLogs:    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
	signalTraces:  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	signalMetrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

type grpcSender struct {
	connection *grpc.ClientConn
	method     string
}

func newGRPC(address string, s signal) (*grpcSender, error) {
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		return nil, err
	}
	return &grpcSender{connection: connection, method: methods[s]}, nil
}

func (g *grpcSender) send(ctx context.Context, request []byte) error {
	var response []byte
	if err := g.connection.Invoke(ctx, g.method, request, &response); err != nil {
		return err
	}
	return partialSuccess(response)
}

func (g *grpcSender) close() {
	_ = g.connection.Close()
}

// rawCodec passes bytes that are protobuf already. Requests are not copied.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	request, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(request)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	response, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	*response = data.Materialize()
	return nil
}

func (rawCodec) Name() string {
	return "proto"
}

type httpSender struct {
	client *http.Client
	url    string
}

func newHTTP(address string, s signal, o options) *httpSender {
	transport := &http.Transport{MaxIdleConnsPerHost: o.inFlight, DisableCompression: true, WriteBufferSize: 64 << 10}
	return &httpSender{client: &http.Client{Transport: transport}, url: "http://" + address + "/v1/" + string(s)}
}

func (h *httpSender) send(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := h.client.Do(request)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %s: %.200s", response.Status, answer)
	}
	return partialSuccess(answer)
}

func (h *httpSender) close() {
	h.client.CloseIdleConnections()
}

// partialSuccess is an error when an Export*ServiceResponse says that records were rejected: field 1 is
// partial_success, and its field 1 the number of them.
func partialSuccess(response []byte) error {
	for len(response) > 0 {
		number, kind, value, rest, err := field(response)
		if err != nil {
			return err
		}
		if number == 1 && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(value)
			if len(inner) > 0 {
				return errors.New("records were rejected")
			}
		}
		response = rest
	}
	return nil
}

func field(data []byte) (protowire.Number, protowire.Type, []byte, []byte, error) {
	number, kind, tag := protowire.ConsumeTag(data)
	if tag < 0 {
		return 0, 0, nil, nil, protowire.ParseError(tag)
	}
	length := protowire.ConsumeFieldValue(number, kind, data[tag:])
	if length < 0 {
		return 0, 0, nil, nil, protowire.ParseError(length)
	}
	return number, kind, data[tag : tag+length], data[tag+length:], nil
}
