// Command sumdb reads a tlog-tiles log with the client code of Go's checksum database and holds it to itself: the
// checkpoint's signature, every tile under its root, the service's own proofs, and the root over all entries.
//
//	sumdb <prefix of the log> <verifier key>
//
// It ends with 0 and one line of JSON, or with 1 and what does not hold.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height       = 8
	bundleSize   = 1 << height
	randomProofs = 50
)

type client struct {
	prefix string
	tiles  int
}

func (c *client) get(path string) ([]byte, error) {
	response, err := http.Get(c.prefix + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, nil
}

// Height, ReadTiles and SaveTiles make a client a tlog.TileReader.
func (c *client) Height() int { return height }

func (c *client) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		// The checksum database names the height in a path, tlog-tiles does not: tile/8/0/000 is tile/0/000.
		data, err := c.get(strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "/tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
		c.tiles++
	}
	return all, nil
}

func (c *client) SaveTiles([]tlog.Tile, [][]byte) {}

// checkpoint reads and verifies the checkpoint: origin, size, root.
func (c *client) checkpoint(vkey string) (string, tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	text, err := c.get("/checkpoint")
	if err != nil {
		return "", tlog.Tree{}, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return "", tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		return "", tlog.Tree{}, fmt.Errorf("checkpoint: not three lines of origin %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

// entries reads all entries, bundle by bundle.
func (c *client) entries(size int64) ([][]byte, error) {
	var all [][]byte
	for first := int64(0); first < size; first += bundleSize {
		width := min(bundleSize, size-first)
		tile := tlog.Tile{H: height, L: 0, N: first / bundleSize, W: int(width)}
		name := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/0/", height))
		bundle, err := c.get("/tile/entries/" + name)
		if err != nil {
			return nil, err
		}
		for n := int64(0); n < width; n++ {
			if len(bundle) < 2 {
				return nil, fmt.Errorf("bundle of %d: too short", first)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			if len(bundle) < 2+length {
				return nil, fmt.Errorf("bundle of %d: entry %d too short", first, n)
			}
			all = append(all, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
		if len(bundle) > 0 {
			return nil, fmt.Errorf("bundle of %d: bytes left over", first)
		}
	}
	return all, nil
}

// proof reads a proof that the service made itself.
func (c *client) proof(path string) ([]tlog.Hash, error) {
	body, err := c.get(path)
	if err != nil {
		return nil, err
	}
	var answer struct{ Path []string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var hashes []tlog.Hash
	for _, text := range answer.Path {
		bytes, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(bytes) != tlog.HashSize {
			return nil, fmt.Errorf("%s: a node that is not a hash", path)
		}
		hashes = append(hashes, tlog.Hash(bytes))
	}
	return hashes, nil
}

// rootOf computes the root over all entries, and the roots of the trees before.
func rootOf(entries [][]byte) (func(size int64) (tlog.Hash, error), error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for n, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(n), entry, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
	}
	return func(size int64) (tlog.Hash, error) { return tlog.TreeHash(size, reader) }, nil
}

func run(prefix, vkey string) error {
	c := &client{prefix: strings.TrimSuffix(prefix, "/")}
	origin, tree, err := c.checkpoint(vkey)
	if err != nil {
		return err
	}
	entries, err := c.entries(tree.N)
	if err != nil {
		return err
	}
	rootAt, err := rootOf(entries)
	if err != nil {
		return err
	}
	root, err := rootAt(tree.N)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the root over all %d entries is not the one signed", tree.N)
	}
	reader := tlog.TileHashReader(tree, c)
	for n := 0; n < randomProofs; n++ {
		index := rand.Int63n(tree.N)
		leaf := tlog.RecordHash(entries[index])
		byTiles, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return fmt.Errorf("inclusion of %d by tiles: %w", index, err)
		}
		if err := tlog.CheckRecord(byTiles, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("inclusion of %d by tiles: %w", index, err)
		}
		told, err := c.proof(fmt.Sprintf("/v1/proofs/inclusion?index=%d&size=%d", index, tree.N))
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(told, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("inclusion of %d by the service: %w", index, err)
		}
		size := 1 + rand.Int63n(tree.N)
		old, err := rootAt(size)
		if err != nil {
			return err
		}
		grown, err := tlog.ProveTree(tree.N, size, reader)
		if err != nil {
			return fmt.Errorf("consistency from %d by tiles: %w", size, err)
		}
		if err := tlog.CheckTree(grown, tree.N, tree.Hash, size, old); err != nil {
			return fmt.Errorf("consistency from %d by tiles: %w", size, err)
		}
		told, err = c.proof(fmt.Sprintf("/v1/proofs/consistency?from=%d&to=%d", size, tree.N))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(told, tree.N, tree.Hash, size, old); err != nil {
			return fmt.Errorf("consistency from %d by the service: %w", size, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"origin": origin, "size": tree.N, "tiles": c.tiles, "proofs": 4 * randomProofs,
	})
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sumdb <prefix of the log> <verifier key>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
