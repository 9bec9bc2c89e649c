/* stranger.cpp: what somebody writes who has the headers and the library alone; test_packaging.py builds it. */
#include <cstdio>
#include <kcoro/cpp/kcoro.hpp>
#include <string>

static kcoro::task<std::string> greeting(const kcoro::channel<std::string> &words) {
    const std::string first = (co_await kcoro::async::receive(words)).value();
    co_return first + ", " + (co_await kcoro::async::receive(words)).value();
}

int main() {
    const kcoro::scheduler on(1);
    const kcoro::hub hub;
    const kcoro::channel<std::string> words(hub);
    const kcoro::connection daemon;
    const auto letters = daemon.make_channel<char>("stranger.letters", kcoro::buffered(8)).value();
    on.spawn([&] {
        words.send("hello").value();
        for (char letter : std::string("stranger"))
            letters.send(letter).value();
        (void)letters.close();
        std::string name;
        for (char letter : letters)
            name += letter;
        words.send(std::move(name)).value();
    }).value();
    const kcoro::executor tasks(on);
    std::puts(tasks.run(greeting(words)).c_str());
}
