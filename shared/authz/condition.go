package authz

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// costLimit bounds one evaluation. Without loops it is never reached by an honest condition:
// comparing and searching texts of a few hundred bytes costs tens.
const costLimit = 10_000

// condition is a compiled condition; nil is "always". It is immutable.
type condition struct {
	text     string
	subjects []subject // not empty: it can hold for these only
	exact    bool      // it holds for all of them: for a rule that speaks of everybody it is done with
	program  cel.Program
	mfa      bool // looks at request.mfa
	named    bool // looks at the name or the infra of the resource
}

// holds evaluates the condition. An error is a condition that could not be decided.
func (c *condition) holds(q *question) (bool, error) {
	if c == nil {
		return true, nil
	}
	out, _, err := c.program.Eval(q)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errors.New("the condition is no yes or no")
	}
	return bool(b), nil
}

// question is a request as conditions see it. It implements cel.Activation.
type question struct{ *Request }

// ResolveName returns the value of a declared name.
func (q *question) ResolveName(name string) (any, bool) {
	switch name {
	case "user.id":
		return q.Subject.ID, true
	case "user.username":
		return q.Subject.Username, true
	case "user.roles":
		return q.Subject.Roles, true
	case "request.ip":
		return q.IP, true
	case "request.mfa":
		return q.Subject.MFA, true
	case "request.time":
		return q.Time.UTC(), true
	case "resource.type":
		return q.Resource.Type, true
	case "resource.name":
		return q.Resource.Name, true
	case "resource.infra":
		return q.Resource.Infra, true
	case "time.hour":
		return q.Time.UTC().Hour(), true
	}
	return nil, false
}

// Parent returns nil: there is nothing behind the request.
func (q *question) Parent() cel.Activation { return nil }

// conditions compiles texts and remembers them, across sets as well, so that a change of one policy
// among 10,000 costs one condition. Owned by one goroutine at a time.
type conditions struct {
	env  *cel.Env
	err  error
	seen map[string]*condition
	used map[string]*condition // those of the set; the rest is forgotten

	forgetAt int // so many in used
}

func newConditions(before *conditions) *conditions {
	c := &conditions{used: map[string]*condition{}}
	if before != nil {
		c.env, c.err, c.seen = before.env, before.err, before.used
		return c
	}
	c.env, c.err = cel.NewCustomEnv(cel.StdLib(), cel.ClearMacros(), cel.Macros(cel.HasMacro),
		cel.ParserRecursionLimit(64), cel.ParserExpressionSizeLimit(maxCondition),
		cel.Variable("user.id", cel.StringType), cel.Variable("user.username", cel.StringType),
		cel.Variable("user.roles", cel.ListType(cel.StringType)),
		cel.Variable("request.ip", cel.StringType), cel.Variable("request.mfa", cel.BoolType),
		cel.Variable("request.time", cel.TimestampType),
		cel.Variable("resource.type", cel.StringType), cel.Variable("resource.name", cel.StringType),
		cel.Variable("resource.infra", cel.StringType), cel.Variable("time.hour", cel.IntType))
	return c
}

func (c *conditions) ready() error {
	if c.err != nil {
		return fmt.Errorf("prepare conditions: %w", c.err)
	}
	return nil
}

// compile returns the condition of text, nil for an empty one. Its error says what is wrong and
// where, for the person who wrote it.
func (c *conditions) compile(text string) (*condition, error) {
	if text == "" {
		return nil, nil
	}
	if done, ok := c.used[text]; ok {
		return done, nil
	}
	if done, ok := c.seen[text]; ok {
		c.used[text] = done
		return done, nil
	}
	if len(text) > maxCondition {
		return nil, fmt.Errorf("must be at most %d bytes", maxCondition)
	}
	parsed, issues := c.env.Parse(text)
	if issues.Err() != nil {
		return nil, explainIssue(text, issues)
	}
	tree := parsed.NativeRep()
	w := &rewriter{ExprFactory: ast.NewExprFactory(), next: ast.MaxID(tree)}
	w.rewrite(tree.Expr())
	if w.err != nil {
		return nil, w.err
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		return nil, explainIssue(text, issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, errors.New("must be true or false, not a value of type " + checked.OutputType().String())
	}
	program, err := c.env.Program(checked, cel.CostLimit(costLimit))
	if err != nil {
		return nil, errors.New("cannot be planned")
	}
	done := &condition{text: text, mfa: w.mfa, named: w.named, program: program}
	done.subjects, done.exact = subjectsOf(checked.NativeRep().Expr())
	c.used[text] = done
	return done, nil
}

// rewriter turns user.role into questions about user.roles, has(x) into x != ”, and refuses what
// conditions may not do.
type rewriter struct {
	ast.ExprFactory
	next  int64
	mfa   bool
	named bool
	err   error
}

func (w *rewriter) id() int64 { w.next++; return w.next }

func (w *rewriter) fail(message string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(message, args...)
	}
}

func (w *rewriter) rewrite(e ast.Expr) {
	switch e.Kind() {
	case ast.CallKind:
		w.call(e)
	case ast.SelectKind:
		s := e.AsSelect()
		name := dotted(e)
		switch {
		case s.IsTestOnly():
			plain := w.NewSelect(w.id(), s.Operand(), s.FieldName())
			w.rewrite(plain)
			e.SetKindCase(w.NewCall(w.id(), operators.NotEquals, plain, w.NewLiteral(w.id(), types.String(""))))
		case name == "user.role":
			w.fail("user.role can be compared with ==, != and in only; user.roles is the list")
		case name == "request.mfa":
			w.mfa = true
		case name == "resource.name", name == "resource.infra":
			w.named = true
		case name == "":
			w.rewrite(s.Operand())
		}
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.rewrite(x)
		}
	case ast.LiteralKind, ast.IdentKind:
	default:
		w.fail("maps, objects and loops cannot be used in a condition")
	}
}

// call handles an operator or a function.
func (w *rewriter) call(e ast.Expr) {
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals:
		value := args[1]
		if dotted(args[1]) == "user.role" {
			value = args[0]
		} else if dotted(args[0]) != "user.role" {
			break
		}
		w.rewrite(value)
		has := w.hasRole(value)
		if c.FunctionName() == operators.NotEquals {
			has = w.NewCall(w.id(), operators.LogicalNot, has)
		}
		e.SetKindCase(has)
		return
	case operators.In:
		if dotted(args[0]) != "user.role" {
			break
		}
		if args[1].Kind() != ast.ListKind || args[1].AsList().Size() == 0 {
			w.fail("behind user.role in there must be a list of roles, for example ['admin', 'operator']")
			return
		}
		var any ast.Expr
		for _, value := range args[1].AsList().Elements() {
			w.rewrite(value)
			if has := w.hasRole(value); any == nil {
				any = has
			} else {
				any = w.NewCall(w.id(), operators.LogicalOr, any, has)
			}
		}
		e.SetKindCase(any)
		return
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Less, operators.LessEquals,
		operators.Greater, operators.GreaterEquals, operators.Negate, "startsWith", "endsWith", "contains", "timestamp":
	default:
		w.fail("%s cannot be used in a condition; there are == != < <= > >= && || ! in has startsWith endsWith contains timestamp",
			strings.Trim(c.FunctionName(), "_@"))
		return
	}
	if c.IsMemberFunction() {
		w.rewrite(c.Target())
	}
	for _, a := range args {
		w.rewrite(a)
	}
}

func (w *rewriter) hasRole(value ast.Expr) ast.Expr {
	return w.NewCall(w.id(), operators.In, value, w.NewSelect(w.id(), w.NewIdent(w.id(), "user"), "roles"))
}

// dotted returns "a.b" for a selection of b from the name a, or the checked name itself, else "".
func dotted(e ast.Expr) string {
	switch e.Kind() {
	case ast.SelectKind:
		if s := e.AsSelect(); s.Operand().Kind() == ast.IdentKind {
			return s.Operand().AsIdent() + "." + s.FieldName()
		}
	case ast.IdentKind:
		return e.AsIdent()
	}
	return ""
}

// subjectsOf finds for whom alone a checked condition can hold, so that the index can leave it out
// for everybody else. exact: it holds for all of them and needs no evaluation. nil: for anybody.
func subjectsOf(e ast.Expr) (list []subject, exact bool) {
	if e.Kind() != ast.CallKind {
		return nil, false
	}
	c := e.AsCall()
	switch args := c.Args(); c.FunctionName() {
	case operators.LogicalOr:
		a, exactA := subjectsOf(args[0])
		b, exactB := subjectsOf(args[1])
		if a == nil || b == nil {
			return nil, false
		}
		return append(append([]subject(nil), a...), b...), exactA && exactB
	case operators.LogicalAnd:
		a, _ := subjectsOf(args[0])
		b, _ := subjectsOf(args[1])
		if a == nil || b != nil && len(b) < len(a) {
			a = b
		}
		return a, false
	case operators.In:
		if role, ok := text(args[0]); ok && dotted(args[1]) == "user.roles" {
			return []subject{{directRole, role}}, true
		}
	case operators.Equals:
		a, b := args[0], args[1]
		if _, ok := text(a); ok {
			a, b = b, a
		}
		value, ok := text(b)
		if ok && dotted(a) == "user.id" {
			return []subject{{user, value}}, true
		}
		if ok && dotted(a) == "user.username" {
			return []subject{{userName, value}}, true
		}
	}
	return nil, false
}

func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

var _ cel.Activation = (*question)(nil)
