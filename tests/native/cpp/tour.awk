# Makes one program of the code blocks of docs/CPP.md: a ```cpp block is the body of a function, a ```cpp top block stands
# outside of functions. main calls them in order.
BEGIN {
    print "#undef NDEBUG\n#include <cassert>\n#include <cstdio>\n#include <numeric>\n#include <string>\n#include <vector>"
    print "#include <kcoro/cpp/kcoro.hpp>\nusing namespace std::chrono_literals;"
}
/^```cpp$/ { inside = 1; n++; print "static void block_" n "() {"; body = 1; line(); next }
/^```cpp top$/ { inside = 1; body = 0; line(); next }
/^```/ { if (inside && body) print "}"; inside = 0; next }
inside { print }
function line() { print "#line " NR + 1 " \"CPP.md\"" }
END {
    print "int main() {"
    for (i = 1; i <= n; i++) print "    block_" i "();"
    print "    std::printf(\"%d passed, 0 failed\\n\", " n ");\n    return " n " == 0;\n}"
}
