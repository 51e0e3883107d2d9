// folder.h: where tests write their files.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_FOLDER_H
#define INGOT_TESTS_FOLDER_H

// A new folder below TMPDIR (/tmp), as an absolute path. It is removed, with all in it, when the test's process ends,
// also where the test failed; not where it crashed.
const char *test_folder(void);
// The path of a file of that name in a new folder; there is no such file yet.
const char *test_path(const char *name);

#endif
