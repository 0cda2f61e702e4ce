// Package config reads configuration files into typed structs, strictly.
//
// # Overview
//
// A configuration is a Go struct whose value at construction holds the defaults. [Load] lays over it, in this order,
// a YAML, JSON or TOML file, the environment (LOUPE_TRAIN_LR sets train.lr), and `key=value` pairs of --set. Each
// load owns its viper instance. Every value remembers where it came from. An unknown key is an error that names the
// nearest known one; a value of the wrong type is an error that names the key, where it was given, and what is wanted.
//
// # Rules for a configuration struct
//
//   - Every exported field has a `json:"lower_case_key"` tag and a `doc:"..."` tag; `enum:"a,b"` restricts a string.
//   - Field types: bool, integers, floats, string, lists of these, structs, and lists of structs. Keys are
//     case-insensitive inside viper, so a map would change the case of its keys: maps are refused. Use a list of
//     structs with a name.
//   - An embedded struct without a tag adds its keys to the struct around it.
//   - A list element that has `SetDefaults()` on its pointer starts from those defaults.
//   - `DeriveDefaults()` on the pointer of the struct, a section or a list element sets defaults that depend on other keys.
//   - With the tag `inherit:"true"` on a list of structs at the root, a key that is given at the root and left out in an
//     element is given to the element too.
//   - `Validate() error` on the struct's pointer is called after decoding.
//
// A file states its kind in the key `kind`; the kinds are a table that the caller passes in ([Kind]).
package config
