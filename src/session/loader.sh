# A look that reads something: the text is the first line of standard input, what it reads is the rest. `read` takes no byte
# too many, by the standard. Its first argument is the tag that says that the text was understood.
IFS= read -r hz_t || exit 126
hz_t=$(hz_put "$hz_t"; echo .)
eval "hawiz_text() { :; ${hz_t%.}
}" || exit 126
unset hz_t
echo "$1" $$
shift
set -eu
hawiz_text
