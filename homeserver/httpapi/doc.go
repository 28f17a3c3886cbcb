// Package httpapi is what all HTTP edges of the homeserver share: tables of
// routes, handlers that take and return Go values, authentication, Matrix
// errors, CORS, and the limits on bodies and on rates.
//
// The packages clientapi, serverapi, identityapi and adminapi each hand in a
// table of [Route] rows; the homeserver joins the tables and makes one
// http.Handler of them with [NewMux].
//
// The package knows the shape of a Matrix request and answer, and nothing
// beyond. It never touches the database, imports no other package of this
// module, and reaches accounts only through [Identifier].
package httpapi
