// A stranger's C++ program.
#include <iostream>
#include <string>

#include <quarry/status.h>

int main()
{
    const std::string name = quarry_status_name(QUARRY_NOT_FOUND);
    std::cout << "C++: " << name << '\n';
    return name == "not-found" && !quarry_status_is_retryable(QUARRY_NOT_FOUND) ? 0 : 1;
}
