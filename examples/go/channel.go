package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	accessv1 "weft.internal/gen/weft/access/v1"
)

// maxData is how much one message may carry; what is larger is refused.
const maxData = 64 << 10

// Channel is a connection to a resource: an io.ReadWriteCloser over AccessService.Connect. One goroutine may read while
// another writes. Write blocks while the far end takes no more: that is gRPC's flow control, all the way to the target.
type Channel struct {
	// CorrelationID names the channel to operators.
	CorrelationID string

	stream grpc.BidiStreamingClient[accessv1.ConnectRequest, accessv1.ConnectResponse]
	cancel context.CancelFunc
	rest   []byte
	ended  bool
}

// Open opens a channel to a resource by its name; it returns once the target has accepted. The deadline of ctx bounds the
// whole life of the channel, and its cancellation ends it.
func Open(ctx context.Context, conn *grpc.ClientConn, resource string) (*Channel, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := accessv1.NewAccessServiceClient(conn).Connect(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	c := &Channel{stream: stream, cancel: cancel}
	open := &accessv1.ConnectRequest{Message: &accessv1.ConnectRequest_Open{Open: &accessv1.ConnectOpen{Resource: resource}}}
	// An error of Send is told by Recv.
	_ = stream.Send(open)
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, err
	}
	if first.GetOpened() == nil {
		cancel()
		return nil, fmt.Errorf("the first answer was %T", first.Message)
	}
	c.CorrelationID = first.GetOpened().CorrelationId
	return c, nil
}

// Read reads what the target said; io.EOF once it has ended its side, while the other way may still be open.
func (c *Channel) Read(into []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.ended {
			return 0, io.EOF
		}
		answer, err := c.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case answer.GetHalfClosed() != nil:
			c.ended = true
		default:
			c.rest = answer.GetData()
		}
	}
	n := copy(into, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write sends bytes to the target. When the channel has failed it says io.EOF, and Read says why.
func (c *Channel) Write(bytes []byte) (int, error) {
	sent := 0
	for sent < len(bytes) {
		piece := bytes[sent:min(sent+maxData, len(bytes))]
		message := &accessv1.ConnectRequest{Message: &accessv1.ConnectRequest_Data{Data: piece}}
		if err := c.stream.Send(message); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return sent, nil
}

// CloseWrite tells the target that nothing more comes; what it still says can be read.
func (c *Channel) CloseWrite() error {
	message := &accessv1.ConnectRequest{Message: &accessv1.ConnectRequest_HalfClose{HalfClose: &accessv1.ConnectHalfClose{}}}
	if err := c.stream.Send(message); err != nil {
		return err
	}
	return c.stream.CloseSend()
}

// Finish waits for the end of the call when both sides have ended theirs; its error is the call's status.
func (c *Channel) Finish() error {
	defer c.cancel()
	if _, err := c.stream.Recv(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Close gives the channel up, whatever is under way.
func (c *Channel) Close() error {
	c.cancel()
	return nil
}
