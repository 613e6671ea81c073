// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors
//
// npm's js-pigpio: does what it is told on its standard input, `METHOD [NUMBER]...` a line, and says what came of it.

const readline = require('readline')
const Pigpio = require('js-pigpio')
const pi = new Pigpio()

const say = (...words) => console.log(words.join(' '))
// Those that answer; the others say nothing.
const asks = new Set(['read', 'get_mode', 'getHardwareRevision', 'get_PWM_dutycycle', 'get_PWM_frequency'])

pi.pi('127.0.0.1', process.argv[2], (error) => {
  if (error) throw error
  say('connected')
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', (line) => {
    const [method, ...words] = line.split(' ')
    const values = words.map(Number)
    if (method === 'watch') {
      pi.callback(values[0], pi.EITHER_EDGE, (gpio, level) => say('level', gpio, level))
    } else if (asks.has(method)) {
      // It takes what it reads at once for one answer: when two come together, one is lost. Ask again then.
      let again = null
      const answered = (problem, value) => {
        if (again !== null) say(method, value)
        clearInterval(again)
        again = null
      }
      again = setInterval(() => pi[method](...values, answered), 500)
      pi[method](...values, answered)
    } else {
      pi[method](...values)
    }
  })
  input.on('close', () => process.exit(0))
})
