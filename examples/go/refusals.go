package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	accessv1 "weft.internal/gen/weft/access/v1"
)

// Refusal is an error as Weft tells it: a gRPC status with google.rpc.ErrorInfo and google.rpc.RequestInfo.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Reason is a constant to decide by: UNKNOWN_RESOURCE, TARGET_REFUSED, NOT_ALLOWED ...
	Reason string `json:"reason,omitempty"`
	// Stage says where a channel ended: ENTRY, PATH, EGRESS, TARGET.
	Stage string `json:"stage,omitempty"`
	// Retry is never, later or now.
	Retry     string `json:"retry,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// refusalOf reads the details of an error; an error that is none of gRPC's has the code Unknown.
func refusalOf(err error) Refusal {
	told := status.Convert(err)
	refusal := Refusal{Code: told.Code().String(), Message: told.Message()}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.Reason = detail.Reason
			refusal.Stage = detail.Metadata["stage"]
			refusal.Retry = detail.Metadata["retry"]
		case *errdetails.RequestInfo:
			refusal.RequestID = detail.RequestId
		}
	}
	return refusal
}

// explain is one line for people.
func explain(err error) string {
	if _, ok := status.FromError(err); !ok {
		return err.Error()
	}
	told := refusalOf(err)
	return fmt.Sprintf("%s: %s [reason %q, retry %q, request %q]", told.Code, told.Message, told.Reason, told.Retry, told.RequestID)
}

// refusalsCommand shows how calls end that are not answered: what does not exist, what breaks the protocol, a deadline, and
// a caller that changes its mind.
func refusalsCommand(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("refusals", flag.ExitOnError)
	identity := flags.String("identity", "", "client folder")
	entry := flags.String("entry", "", "host:port of an entry (default: the first one the folder knows)")
	resource := flags.String("resource", "echo", "one that accepts, and says nothing by itself")
	_ = flags.Parse(args)
	conn, err := dialEntry(*identity, *entry)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return map[string]Refusal{
		"unknown_resource": refusalOf(openUnknown(ctx, conn)),
		"open_first":       refusalOf(sayDataFirst(ctx, conn)),
		"deadline":         refusalOf(outstay(ctx, conn, *resource)),
		"cancelled":        refusalOf(changeMind(ctx, conn, *resource)),
	}, nil
}

func openUnknown(ctx context.Context, conn *grpc.ClientConn) error {
	channel, err := Open(ctx, conn, "no-such-name")
	if err == nil {
		channel.Close()
	}
	return err
}

func sayDataFirst(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := accessv1.NewAccessServiceClient(conn).Connect(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&accessv1.ConnectRequest{Message: &accessv1.ConnectRequest_Data{Data: []byte("hello?")}})
	_, err = stream.Recv()
	return err
}

// outstay opens a channel with a deadline that ends before the silence does.
func outstay(ctx context.Context, conn *grpc.ClientConn, resource string) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	channel, err := Open(ctx, conn, resource)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(channel)
	return err
}

func changeMind(ctx context.Context, conn *grpc.ClientConn, resource string) error {
	channel, err := Open(ctx, conn, resource)
	if err != nil {
		return err
	}
	if _, err := channel.Write([]byte("never mind")); err != nil {
		return errors.Join(errors.New("a channel that stood takes bytes"), err)
	}
	channel.Close()
	_, err = io.ReadAll(channel)
	return err
}
