package ssh

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// hostile are arguments that mean something to a shell, a program or a terminal. Each is tried
// alone, and glued to others by hostileArgs.
var hostile = []string{
	"", " ", "a b", "'", "''", "'\\''", `"`, `\`, `\\`, `\'`, "`touch TRAP`", "$(touch TRAP)", "${HOME}", "$HOME", "$$", "$(", "`", "; touch TRAP", "& touch TRAP",
	"&& touch TRAP", "| touch TRAP", "|| touch TRAP", "\ntouch TRAP", "\r\ntouch TRAP", "> TRAP", ">> TRAP", "< TRAP", "<(touch TRAP)",
	"2>TRAP", "*", "?", "[a-z]*", "{a,b}",
	"~", "~root", "!", "!!", "#", "# comment", "%s%n", "%00", "--", "-rf", "--help", "-", "a=b", "=", ":", "\t", "\v", "\x1b[31m", "\x7f",
	"\xff\xfe", "é", "日本", "\u202e",
	"';touch TRAP;'", "'$(touch TRAP)'", `'"'"'`, `\';touch TRAP;\'`, "\\\n", "$'\\x41'", "$\"x\"", "(touch TRAP)", "{ touch TRAP; }", "function f", "if", "while", "exit",
	"../../etc/passwd", "/etc/passwd", "file://x", "\\x00", "EOF", "<<EOF", "a\nb\nc", strings.Repeat("'", 200),
	strings.Repeat("a", 60_000),
}

// hostileArgs are more than 300 argument vectors made of the hostile ones.
func hostileArgs() [][]string {
	var all [][]string
	for i, a := range hostile {
		b := hostile[(i*7+3)%len(hostile)]
		all = append(all, []string{a}, []string{"x" + a + "y"}, []string{a, b}, []string{a + b, a}, []string{"'" + a + "'"})
	}
	return all
}

func TestQuote_splitGivesItBack(t *testing.T) {
	for _, args := range hostileArgs() {
		argv := append([]string{"prog"}, args...)
		line, err := Quote(argv)
		if err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		got, err := Split(line)
		if err != nil || !slices.Equal(got, argv) {
			t.Errorf("Split(Quote(%q)) = %q, %v", argv, got, err)
		}
	}
}

// TestQuote_shellSeesTheSame gives every hostile vector to /bin/sh, which prints what it
// understood.
func TestQuote_shellSeesTheSame(t *testing.T) {
	var script bytes.Buffer
	var want []string
	for _, args := range hostileArgs() {
		line, err := Quote(append([]string{"printf", `%s\0`}, args...))
		if err != nil {
			t.Fatal(err)
		}
		script.WriteString(line + "\n")
		want = append(want, args...)
	}
	cmd := exec.Command("/bin/sh", "-s")
	cmd.Dir = t.TempDir()
	cmd.Stdin = &script
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if !slices.Equal(got, want) {
		t.Errorf("the shell saw other arguments: %d, want %d", len(got), len(want))
	}
	if trap, _ := exec.Command("ls", "-A", cmd.Dir).Output(); len(trap) != 0 {
		t.Errorf("a trap was touched: %s", trap)
	}
}

func TestQuote_refusesWhatCannotBeSent(t *testing.T) {
	for _, argv := range [][]string{nil, {""}, {"a", "b\x00c"}, {"a", strings.Repeat("x", CommandLimit)}} {
		if line, err := Quote(argv); err == nil {
			t.Errorf("Quote(%.20q) = %.20q", argv, line)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string // nil: refused
	}{
		{"ls -l /tmp", []string{"ls", "-l", "/tmp"}},
		{"  a   b  ", []string{"a", "b"}},
		{"env A=b cmd", []string{"env", "A=b", "cmd"}},
		{"pre'fix'ed 'a b'", []string{"prefixed", "a b"}},
		{`'it'\''s'`, []string{"it's"}},
		{"'A=b'", []string{"A=b"}},
		{"cat ''", []string{"cat", ""}},
		{"", nil}, {"   ", nil}, {"''", nil}, {"A=b", nil}, {"A=b cmd", nil}, {"'open", nil}, {"a\x00b", nil},
		{"a; b", nil}, {"a|b", nil}, {"a&", nil}, {"a>b", nil}, {"a<b", nil}, {"$x", nil}, {"`x`", nil}, {"a\nb", nil}, {"a\tb", nil}, {`a "b"`, nil},
		{`a\ b`, nil}, {"*", nil}, {"a?", nil}, {"[a]", nil}, {"{a}", nil}, {"(a)", nil}, {"~", nil}, {"!x", nil}, {"#x", nil}, {"a^b", nil},
	} {
		got, err := Split(c.line)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("Split(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, a := range hostile[:len(hostile)-2] {
		f.Add(a, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		line, err := Quote([]string{"printf", `%s\0`, a, b})
		if err != nil {
			t.Skip()
		}
		if got, err := Split(line); err != nil || !slices.Equal(got[2:], []string{a, b}) {
			t.Fatalf("Split(Quote(%q, %q)) = %q, %v", a, b, got, err)
		}
		out, err := exec.Command("/bin/sh", "-c", line).Output()
		if err != nil || string(out) != a+"\x00"+b+"\x00" {
			t.Fatalf("the shell saw %q, want %q, %q (%v)", out, a, b, err)
		}
	})
}

// FuzzSplit holds that whatever Split takes, a shell would understand in the same way.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"a b", "'a b' c", `'it'\''s'`, "a=b", "-x --y=z", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv, err := Split("x " + line)
		if err != nil {
			t.Skip()
		}
		out, err := exec.Command("/bin/sh", "-c", `printf '%s\0' x `+line).Output()
		if err != nil || string(out) != strings.Join(argv, "\x00")+"\x00" {
			t.Fatalf("Split(%q) = %q, the shell saw %q (%v)", line, argv, out, err)
		}
	})
}
