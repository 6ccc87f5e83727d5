#!/usr/bin/env node
// Entry of the command line. Everything else is in cli/.
import { processContext, runCommandLine } from './cli/index.ts';

process.exitCode = await runCommandLine(process.argv.slice(2), processContext());
