// Package api is the control-center's route table and the views of its nouns. Handlers translate
// between wire and nouns and do nothing else; views are types of their own, so a stored member is
// on the wire only when somebody wrote it down here.
//
// It owns no rules and no storage. The one rule a caller must know: a route that is not in Routes
// does not exist, and each one says its permission and its audit action.
package api
