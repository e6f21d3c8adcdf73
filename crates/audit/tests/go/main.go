// Checks a checkpoint and a proof of inclusion with the tools that verify sum.golang.org: nothing here knows sealgate.
//
// Standard input is one JSON document; the exit status is 0 if everything in it is true.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	VerifierKey string   `json:"verifier_key"`
	Old         string   `json:"old"`
	New         string   `json:"new"`
	Line        string   `json:"line"`
	Index       int64    `json:"index"`
	Inclusion   []string `json:"inclusion"`
	Consistency []string `json:"consistency"`
}

func main() {
	if err := check(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(in.VerifierKey)
	if err != nil {
		return err
	}
	older, err := open(in.Old, verifier)
	if err != nil {
		return fmt.Errorf("the older checkpoint: %w", err)
	}
	newer, err := open(in.New, verifier)
	if err != nil {
		return fmt.Errorf("the newer checkpoint: %w", err)
	}
	inclusion, err := hashes(in.Inclusion)
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash([]byte(in.Line))
	if err := tlog.CheckRecord(inclusion, newer.N, newer.Hash, in.Index, leaf); err != nil {
		return fmt.Errorf("inclusion: %w", err)
	}
	consistency, err := hashes(in.Consistency)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(consistency, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	return nil
}

// open verifies a note and reads its text, whose first line is the log's name where Go's own tree heads have a fixed one.
func open(text string, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("the origin is %q", origin)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

func hashes(texts []string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, text := range texts {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}
