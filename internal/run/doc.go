// Package run keeps run folders: one folder per run, with all that is needed to judge, resume and repeat it.
//
// # Overview
//
//	runs/<name>-<hash8>[-n]/
//	    run.json        format, kind, command, seed, configuration hash, parents and outputs with their SHA-256
//	    config.yaml     the resolved configuration
//	    env.json        versions, backend, plugin, hosts, times
//	    metrics.jsonl   one object a line: {"step":..,"name":value}
//	    tables/ weights/ checkpoints/ report.html
//	    log.jsonl       the log
//	    STATUS          running, done or failed
//	    lock            pid, host and heartbeat of the process at work; gone when the run is done
//
// [Create] makes a folder, [Find] and [Resume] continue one that was killed or has failed. Only env.json, log.jsonl
// and the lock hold times or hosts, so that a rerun gives the same bytes elsewhere. Every file is written beside its
// place, synced, and renamed, so that a kill leaves the old file or the new one. Any failed write marks the run as
// failed.
package run
