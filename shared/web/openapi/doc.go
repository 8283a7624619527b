// Package openapi writes what a service says about itself: an OpenAPI 3.1 document for programs and
// a page for people.
//
// It owns schemas, examples and the texts that every operation has. It knows no route and no
// server: an Operation says what a route promises. The one rule a caller must know: a document is a
// function of its operations alone, so equal tables of routes give equal bytes.
package openapi
