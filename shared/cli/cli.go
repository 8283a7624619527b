// Package cli is the frame of both command lines: commands of the shape <binary> <noun> <verb>,
// output as table, JSON, YAML or JSON lines, exit codes that scripts can rely on, and the saved
// sign-in that both binaries share. It owns how a command line behaves and no verb of its own; the
// products' cli packages declare verbs as literals. It is the only importer of cobra and pflag.
//
// The one rule: data goes to Stdout, everything else to Stderr, and nothing secret is ever taken
// from or shown in an argument.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
)

// Flags is the flag set that a command declares its flags in.
type Flags = pflag.FlagSet

// Command is one verb, or a noun with verbs below it.
type Command struct {
	Use     string // "submit FILE": the word, then its arguments
	Short   string
	Long    string
	Example string
	Args    int // how many arguments exactly; AnyArgs for any number
	Hidden  bool
	Flags   func(*Flags)
	Run     func(ctx context.Context, io *IO, args []string) error // nil for a noun
	// Complete returns what the argument may be, for the shell's completion; nil: nothing is
	// proposed.
	Complete func(ctx context.Context, io *IO) []string
	Values   map[string][]string // by flag: what it may be; the shell completes it, and all else is a usage error
	// Proposed is Complete for flags, by flag.
	Proposed map[string]func(ctx context.Context, io *IO) []string
	Commands []Command
	// Changes says that the verb changes one thing at the service: it takes --idempotency-key.
	Changes bool
	// Raw hands all arguments to Run unparsed: for verbs that the program calls on itself.
	Raw bool
}

// AnyArgs lets a command take any number of arguments.
const AnyArgs = -1

// IO is where a command reads and writes.
type IO struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Getenv  func(string) string
	Environ func() []string // all variables, NAME=value
	Format  string          // "table", "json", "yaml" or "jsonl"
}

// System returns the process's own streams and environment.
func System() *IO {
	return &IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Environ: os.Environ, Format: "table"}
}

// Main runs the command line and returns the exit code. Errors are printed to std.Err with what to
// do next.
func Main(ctx context.Context, root Command, std *IO, args []string) int {
	cmd := build(root, std)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetIn(std.In)
	cmd.SetOut(std.Out)
	cmd.SetErr(std.Err)
	cmd.SetArgs(args)
	cmd.Version = obs.Build()
	cmd.PersistentFlags().StringVarP(&std.Format, "output", "o", "table", "output format: table, json, yaml or jsonl")
	refuseUnknownShell(cmd)
	_ = cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"table", "json", "yaml", "jsonl"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if c.HasSubCommands() && c.Flags().NArg() > 0 { // a verb that there is not, with a flag that a noun does not have
			return oneOf(c, c.Flags().Args())
		}
		return Usage("%s\nrun: %s --help", plain(err), c.CommandPath())
	})
	if err := cmd.ExecuteContext(ctx); err != nil {
		code := Code(err)
		if code == ExitInterrupted { // by the person at the keyboard, who knows
			fmt.Fprintln(std.Err, "interrupted")
		} else {
			fmt.Fprintln(std.Err, "error: "+Printable(explain(err)))
		}
		return code
	}
	return 0
}

// refuseUnknownShell makes completion of a shell that cobra does not know a usage error. Cobra
// prints the help and ends with 0, and `source <(… completion bsh)` would run that help as
// commands.
func refuseUnknownShell(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, oneOf
		}
	}
}

// oneOf runs a noun: without a verb it prints the help, and a verb that it does not have is a usage
// error that names those it has.
func oneOf(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var verbs []string
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			verbs = append(verbs, sub.Name())
		}
	}
	return Usage("%s has no %q; it has: %s", cmd.CommandPath(), args[0], strings.Join(verbs, ", "))
}

func build(c Command, std *IO) *cobra.Command {
	cmd := &cobra.Command{Use: c.Use, Short: c.Short, Long: c.Long, Example: c.Example, Hidden: c.Hidden, DisableFlagParsing: c.Raw}
	if c.Flags != nil {
		c.Flags(cmd.Flags())
	}
	complete(cmd, c, std)
	for _, sub := range c.Commands {
		cmd.AddCommand(build(sub, std))
	}
	cmd.Args = cobra.ArbitraryArgs // counted below; cobra's own check would not know our exit codes
	if c.Run == nil {
		cmd.RunE = oneOf
		return cmd
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.Args != AnyArgs && !c.Raw && len(args) != c.Args {
			return Usage("%s takes %d argument(s), not %d\nusage: %s", cmd.CommandPath(), c.Args, len(args), cmd.UseLine())
		}
		switch std.Format {
		case "table", "json", "yaml", "jsonl":
		default:
			return Usage("--output %s is not known; use table, json, yaml or jsonl", std.Format)
		}
		if err := checkValues(cmd, c.Values); err != nil {
			return err
		}
		return c.Run(cmd.Context(), std, args)
	}
	return cmd
}

// complete tells the shell's completion what arguments and flags may be. A service that does not
// answer in completionLimit proposes nothing.
func complete(cmd *cobra.Command, c Command, std *IO) {
	ask := func(found func(context.Context, *IO) []string) cobra.CompletionFunc {
		return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
			defer cancel()
			return found(ctx, std), cobra.ShellCompDirectiveNoFileComp
		}
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if c.Complete == nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return ask(c.Complete)(cmd, args, typed)
	}
	for flag, found := range c.Proposed {
		_ = cmd.RegisterFlagCompletionFunc(flag, ask(found))
	}
	for flag, values := range c.Values {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// plain returns what is wrong with the value of a flag, without the words of the library that read
// it.
func plain(err error) string {
	text := err.Error()
	for cause, meant := range map[string]string{
		"strconv.ParseInt: ": "it must be a whole number", "strconv.ParseUint: ": "it must be a whole number, 0 or more",
		"strconv.ParseBool: ": "it must be true or false", "time: ": "write 30s, 10m or 2h",
	} {
		if before, _, found := strings.Cut(text, cause); found {
			return before + meant
		}
	}
	return text
}

// completionLimit is how long a person waits for proposals after a tab.
const completionLimit = 2 * time.Second

// explain returns the text of an error with the fields of an invalid input below it.
func explain(err error) string {
	f := fault.Of(err)
	if f == nil {
		return err.Error()
	}
	text := f.Message
	if len(f.Fields) == 1 && strings.HasSuffix(text, f.Fields[0].Message) && !strings.Contains(f.Fields[0].Pointer, ": ") {
		return text // which says it all; a place in a file is more
	}
	for _, field := range f.Fields {
		text += "\n  " + field.Pointer + ": " + field.Message
	}
	return text
}
