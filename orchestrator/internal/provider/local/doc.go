// Package local is the driver whose servers are processes of this machine: each has a folder of its
// own, an SSH server on loopback and generated keys, so that everything above runs as it would on a
// cloud machine. Such a server is no sandbox: what runs on it runs as the user of the orchestrator.
//
// It does not know tasks or recipes, and it keeps no state but the folders: DIR/<id>/ is the server
// (see folder).
//
// The one rule: the folder is the resource. It appears whole, by a rename, before its process is
// started, and names tag and server; a process works in its folder and ends itself when that is
// gone; destroying begins by moving the folder away. So whoever is killed at whatever moment, a
// server is found by its tag or is no more, and a folder that was copied is another server,
// whatever it records.
package local
