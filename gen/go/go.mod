// Generated from examples/go/go.mod: npm run gen.

module weft.internal/gen

go 1.26.0

require (
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)
