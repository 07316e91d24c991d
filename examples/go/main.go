// Command weft-example is a client of Weft in Go. Everything it knows of Weft is generated from proto/ by stock plugins: the
// rest is google.golang.org/grpc and the standard library.
//
// Each subcommand prints one JSON object on standard output; what happens meanwhile goes to standard error. See README.md.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
)

// commands are the parts of the example; each is in a file of its own.
var commands = map[string]func(ctx context.Context, args []string) (any, error){
	"transfer": transferCommand,
	"refusals": refusalsCommand,
	"watch":    watchCommand,
	"enroll":   enrollCommand,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: weft-example transfer|refusals|watch|enroll [flags]; -h after a command shows its flags")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	answer, err := commands[os.Args[1]](ctx, os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "weft-example:", explain(err))
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		os.Exit(1)
	}
}

// tell writes one JSON object on a line of standard error: what others may wait for while a command runs.
func tell(facts map[string]any) {
	line, _ := json.Marshal(facts)
	fmt.Fprintln(os.Stderr, string(line))
}
