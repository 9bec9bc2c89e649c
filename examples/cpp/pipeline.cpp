/* pipeline.cpp: words from the command line or standard input, counted by letters in three stages.
 *
 *     printf 'one two three' | pipeline
 *
 * read -> workers -> count: a producer, a pool of coroutines that take from one channel and send to another, and an
 * actor that adds up. Whatever goes wrong, leaving the scope leaves nobody behind.
 */
#include <array>
#include <cctype>
#include <cstdio>
#include <iostream>
#include <string>

#include <kcoro/cpp/kcoro.hpp>

namespace {

struct tally {
    std::array<long, 26> letters{};
    long words = 0;
};

tally tally_of(const std::string &word) {
    tally one;
    for (const char c : word) {
        if (std::isalpha(static_cast<unsigned char>(c)) != 0)
            one.letters[static_cast<std::size_t>(std::tolower(static_cast<unsigned char>(c)) - 'a')]++;
    }
    one.words = 1;
    return one;
}

void read_words(const kcoro::channel<std::string> &out, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        out.send(argv[i]).value();
    if (argc == 1)
        for (std::string word; std::cin >> word;)
            out.send(std::move(word)).value();
}

tally count(const kcoro::scheduler &on, const kcoro::hub &hub, int argc, char **argv) {
    tally total;
    const kcoro::channel<tally> tallies(hub, kcoro::buffered(16)); /* bytes: a tally is trivially copyable */
    const kcoro::actor adds(on, tallies, [&total](tally &&one) {
        for (std::size_t i = 0; i < one.letters.size(); i++)
            total.letters[i] += one.letters[i];
        total.words += one.words;
    });
    kcoro::in_scope(on, [&](kcoro::scope &stages) {
        const auto words = stages.produce<std::string>(hub, kcoro::buffered(16), [=](kcoro::channel<std::string> &out) {
            read_words(out, argc, argv);
        }).value();
        kcoro::in_scope(on, [&](kcoro::scope &workers) {
            for (int i = 0; i < 4; i++)
                workers.launch([&] {
                    for (auto word : words)
                        tallies.send(tally_of(word)).value();
                }).value();
        });
        (void)tallies.close();
    });
    (void)adds.join();
    return total;
}

} // namespace

int main(int argc, char **argv) {
    try {
        const kcoro::scheduler on(2);
        const kcoro::hub hub;
        const tally total = count(on, hub, argc, argv);
        std::printf("%ld words\n", total.words);
        for (std::size_t i = 0; i < total.letters.size(); i++) {
            if (total.letters[i] != 0)
                std::printf("%c %ld\n", static_cast<char>('a' + i), total.letters[i]);
        }
    } catch (const std::exception &e) {
        std::fprintf(stderr, "pipeline: %s\n", e.what());
        return 1;
    }
    return 0;
}
