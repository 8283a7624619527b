package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// CommandLimit is the longest command string that is sent (bytes): Linux takes no longer single
// argument, and an SSH packet not much more.
const CommandLimit = 128 << 10

// Quote returns the one string that makes a POSIX shell, and Split, see exactly argv: each argument
// in single quotes, joined by blanks. What no process can get as an argument is an error.
func Quote(argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", errors.New("no command: the first argument names the program")
	}
	var b strings.Builder
	for i, arg := range argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return "", fmt.Errorf("argument %d holds a NUL byte, which no process can be given", i)
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(arg, "'", `'\''`))
		b.WriteByte('\'')
	}
	if b.Len() > CommandLimit {
		return "", fmt.Errorf("the command is %d bytes long, at most %d can be sent: upload a file instead", b.Len(), CommandLimit)
	}
	return b.String(), nil
}

// Split is the inverse of Quote, and takes plain words too: letters, digits and the signs that mean
// nothing to a shell. Anything else is an error that says what to do.
func Split(line string) ([]string, error) {
	if strings.IndexByte(line, 0) >= 0 {
		return nil, errors.New("the command holds a NUL byte, which no process can be given")
	}
	var argv []string
	var word strings.Builder
	inWord, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == ' ':
			if inWord {
				argv = append(argv, word.String())
				word.Reset()
			}
			inWord, quoted = false, false
			continue
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a single quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			i += end + 1
			quoted = true
		case c == '\\' && i+1 < len(line) && line[i+1] == '\'':
			word.WriteByte('\'')
			i++
			quoted = true
		case c == '=' && len(argv) == 0 && !quoted:
			return nil, errors.New("a shell would read the first word as an assignment: there is no shell here, use env NAME=value command")
		case plain(c):
			word.WriteByte(c)
		default:
			return nil, fmt.Errorf("%q means something to a shell and there is no shell here: put the argument in single quotes (which "+
				"must reach the server), or run 'sh' '-c' '…'", string(rune(c)))
		}
		inWord = true
	}
	if inWord {
		argv = append(argv, word.String())
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("no command: this server runs commands and has no interactive shell")
	}
	return argv, nil
}

// plain says whether c means only itself, quoted or not, to every POSIX shell.
func plain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80:
		return true
	}
	return strings.IndexByte("_-+=:,./@%", c) >= 0
}
